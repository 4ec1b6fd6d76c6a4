"""The files of one commit, read out of the object store. What they hold is untrusted data."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, cast

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.source_tree import SourceFile
from rover_mcp.git.git_process import git_command, git_environment, run_git

MAX_FILES = 50_000
MAX_BYTES = 500 * 1024**2
_LIST_BYTES = 64 * 1024**2
_FILE, _LINK = ("100644", "100755"), "120000"


@dataclass(frozen=True)
class CommitTree:
    """A commit as a domain.source_tree.SourceTree."""

    repository: Path
    commit: str

    def files(self, folder: str = "") -> list[SourceFile]:
        """Every file and symbolic link that is, or is beneath, `folder`; no submodules.

        Raises:
            EnvironmentFault: git failed.
        """
        return self._listed([folder] if folder else [])

    def at(self, paths: Sequence[str]) -> Mapping[str, SourceFile]:
        """The files and symbolic links that exist among the paths.

        Raises:
            EnvironmentFault: git failed.
        """
        wanted = set(paths)
        return {e.path: e for e in self._listed(sorted(wanted)) if e.path in wanted}

    def _listed(self, where: Sequence[str]) -> list[SourceFile]:
        # Literal, because the name of a folder such as `[a]` would be a pattern.
        argv = [
            "--literal-pathspecs",
            "ls-tree",
            "-r",
            "-l",
            "-z",
            "--full-tree",
            self.commit,
            *where,
        ]
        result = run_git(argv, self.repository, output_limit=_LIST_BYTES)
        if result.code != 0 or result.truncated:
            raise EnvironmentFault(f"the files of {self.commit[:12]} cannot be listed")
        files: list[SourceFile] = []
        for line in result.stdout.decode("utf-8", "surrogateescape").split("\0"):
            facts, _, path = line.partition("\t")
            mode, _, rest = facts.partition(" ")
            if mode in (*_FILE, _LINK):
                _, name, size = rest.split()
                files.append(SourceFile(path, mode, name, int(size)))
        return files

    def read(self, path: str, limit: int) -> bytes | None:
        """The content of a regular file; None where there is none, or it exceeds `limit` bytes."""
        entry = next((e for e in self.files(path) if e.path == path), None)
        if entry is None or entry.mode not in _FILE or entry.size > limit:
            return None
        return run_git(["cat-file", "blob", entry.id], self.repository).stdout

    def pack(self, folder: str, archive: tarfile.TarFile) -> None:
        """Add everything beneath `folder` to an archive, by path from there.

        Raises:
            EnvironmentFault: it is larger than a build needs ("too_large"), or git failed.
        """
        entries = self.files(folder)
        total = sum(entry.size for entry in entries)
        if len(entries) > MAX_FILES or total > MAX_BYTES:
            raise EnvironmentFault(
                f"the build context {folder or '.'} is too large: {len(entries)} files, "
                f"{total // 1024**2} MB",
                hint=f"at most {MAX_FILES} files and {MAX_BYTES // 1024**2} MB: name a smaller "
                "folder as build.context",
                code="too_large",
            )
        cut = len(folder.rstrip("/")) + 1 if folder else 0
        for entry, content in self._contents(entries):
            info = tarfile.TarInfo(entry.path[cut:])
            info.mode = 0o755 if entry.mode == "100755" else 0o644
            if entry.mode == _LINK:
                info.type, info.linkname = tarfile.SYMTYPE, content.decode("utf-8", "replace")
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, BytesIO(content))

    def _contents(self, entries: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, bytes]]:
        # One at a time: names and contents written and read in blocks would fill both pipes, and
        # then git and this process would wait for each other.
        with subprocess.Popen(
            [*git_command(), "cat-file", "--batch"],
            cwd=self.repository,
            env=git_environment(self.repository),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            requests, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            for entry in entries:
                requests.write(f"{entry.id}\n".encode())
                requests.flush()
                yield entry, _blob(answers, entry)


def _blob(stream: IO[bytes], entry: SourceFile) -> bytes:
    head = stream.readline().split()
    content = stream.read(entry.size)
    if len(head) != 3 or int(head[2]) != entry.size or len(content) != entry.size:
        raise EnvironmentFault(f"the file {entry.path!r} cannot be read out of the repository")
    stream.read(1)
    return content
