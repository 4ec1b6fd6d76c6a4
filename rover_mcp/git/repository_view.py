"""A view of a user's repository for git: its objects and references, and nothing of its own that
can name a program, an address or a file.

Git is started for a temporary folder, in which Rover's configuration lies beside links to the
repository's parts. So the repository's configuration, hooks, remotes and grafts have no effect, in
any version of git. A list of settings to override with `-c` would have to be complete for each. Of
the configuration a few values are copied that only describe how the files of the work tree look.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rover_mcp.git.git_process import GitResult, run_git
from rover_mcp.git.locate import RepositoryPaths, broken, locate, read_head, read_small
from rover_mcp.git.user_config import IncludeConditions

_SHARED = ("objects", "refs", "packed-refs", "logs", "reftable", "shallow")
_WALKED = ("refs", "info", "objects/info", "objects/pack")
_INFO = ("attributes", "exclude", "sparse-checkout")
_KEPT = (
    "core.autocrlf",
    "core.checkstat",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.logallrefupdates",
    "core.precomposeunicode",
    "core.repositoryformatversion",
    "core.sharedrepository",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "core.trustctime",
    "extensions.objectformat",
    "extensions.refstorage",
    "index.sparse",
)
_CONFIG_LIMIT = 4 * 1024**2
_KEPT_LIMIT = 64 * 1024
SHALLOW = "shallow"
"""The file of a repository that names the commits at which its history is cut off."""
SHALLOW_LIMIT = 4 * 1024**2
_TRUE = ("true", "yes", "on", "1")
_REMOTE_URL = re.compile(r"remote\..*\.url", re.DOTALL)
_PROMISOR = re.compile(r"remote\..*\.promisor", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9]{1,16}")

Config = Mapping[str, Sequence[str]]
"""The values of each key, its section and name in lower case, in the order of the file."""


@dataclass(frozen=True)
class RepositoryView:
    """`folder` is the repository that git is started for. `config` is the user's repository's own
    configuration, as data that git is never given."""

    place: RepositoryPaths
    folder: Path
    config: Config

    @property
    def bare(self) -> bool:
        """Whether the repository has no work tree of its own."""
        if self.place.linked:
            return False
        value = self.last("core.bare")
        return value in _TRUE if value else self.place.top is None

    @property
    def partial(self) -> bool:
        """Whether some objects may only be on a remote (git clone --filter)."""
        promisors = (key for key in self.config if _PROMISOR.fullmatch(key))
        return any(self.last(key) in _TRUE for key in promisors) or bool(
            self.last("extensions.partialclone")
        )

    @property
    def conditions(self) -> IncludeConditions:
        """What the user's own configuration may make conditions of, see user_config.py."""
        remotes = (self.config[key] for key in self.config if _REMOTE_URL.fullmatch(key))
        urls = tuple(url for values in remotes for url in values if "\0" not in url)
        return IncludeConditions(self.place.git_dir, self.folder, urls)

    def last(self, key: str) -> str:
        """The last value of a key, which is the one that git uses; empty where it is not set."""
        return next(reversed(self.config.get(key, ())), "").lower()

    def run(self, argv: Sequence[str], **options: Any) -> GitResult:
        """Run git for the view, see run_git."""
        return run_git(argv, self.folder, **options)

    def run_in_work_tree(self, argv: Sequence[str], top: Path, **options: Any) -> GitResult:
        """Run git for the files below `top` and the user's index, which it only reads."""
        index = {"GIT_WORK_TREE": str(top), "GIT_INDEX_FILE": str(self.place.git_dir / "index")}
        return run_git(argv, self.folder, extra_env=index, **options)


@contextmanager
def opened(path: Path) -> Generator[RepositoryView]:
    """Open a view of the repository that `path` is in.

    Raises:
        UserFixable: there is none, or it cannot be used; see locate.
        EnvironmentFault: git is missing, or makes no progress.
    """
    place = locate(path)
    with tempfile.TemporaryDirectory(prefix="rover-view-") as name:
        folder = Path(name)
        config = _read_config(path, place)
        view = RepositoryView(place, folder, config)
        _init(view)
        yield view


def boundary(view: RepositoryView, commit: str) -> list[str]:
    """The commits that `commit` reaches at which the history of a shallow clone is cut off.

    Raises:
        UserFixable: the history cannot be read ("broken_repository").
    """
    cut = set((read_small(view.place.common / SHALLOW, SHALLOW_LIMIT) or b"").decode().split())
    if not cut:
        return []
    roots = view.run(["rev-list", "--max-parents=0", commit])
    if roots.code != 0:
        raise broken(view.place.common, roots.reason)
    return sorted(cut.intersection(roots.text.split()))


def _init(view: RepositoryView) -> None:
    place, folder = view.place, view.folder
    index = place.git_dir / "index"
    if index.exists() and not index.is_file():
        raise broken(place.git_dir, "index is not a file")
    for part in _SHARED:
        # A link to a missing `packed-refs` is for git a missing file, and git creates the target
        # when it deletes or packs references. The other parts are not created by git.
        source = place.common / part
        if source.exists() and not (source.is_file() or source.is_dir()):
            raise broken(place.common, f"{part} is a pipe or a device, for which git would wait")
        if source.exists() or part == "packed-refs":
            (folder / part).symlink_to(source)
    for part in _WALKED:
        if (special := _special(place.common / part)) is not None:
            raise broken(special.parent, f"{special.name} is a pipe, a socket or a device")
    (folder / "info").mkdir()
    for part in _INFO:
        home = place.git_dir if part == "sparse-checkout" else place.common
        (folder / "info" / part).symlink_to(home / "info" / part)
    for shared in place.git_dir.glob("sharedindex.*"):
        (folder / shared.name).symlink_to(shared)
    (folder / "HEAD").write_bytes((read_head(place.git_dir) or b"ref: refs/heads/main") + b"\n")
    (folder / "config").write_text(_render(view), "utf-8")


def _special(top: Path) -> Path | None:
    """Something below `top`, with links followed, that is neither a file nor a folder: git would
    open it and wait for ever. Git itself refuses links that lead nowhere or to themselves."""
    left, seen = [top], set[tuple[int, int]]()
    while left:
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                mode, identity = _followed(entry)
                if stat.S_ISDIR(mode):
                    if identity not in seen:
                        seen.add(identity)
                        left.append(Path(entry.path))
                elif not stat.S_ISREG(mode):
                    return Path(entry.path)
    return None


def _followed(entry: os.DirEntry[str]) -> tuple[int, tuple[int, int]]:
    """The mode and identity of what an entry leads to. A link that leads nowhere counts as a file,
    because nothing can be opened there."""
    try:
        # This comes first because it needs no system call, and there may be many references.
        if entry.is_file(follow_symlinks=False):
            return stat.S_IFREG, (0, 0)
        facts = entry.stat()
    except OSError:
        return stat.S_IFREG, (0, 0)
    return facts.st_mode, (facts.st_dev, facts.st_ino)


def _render(view: RepositoryView) -> str:
    lines = ["[core]", f"\tbare = {str(view.bare).lower()}"]
    for key in _KEPT:
        value = view.last(key)
        if _PLAIN.fullmatch(value):
            section, name = key.split(".")
            lines += [f"[{section}]", f"\t{name} = {value}"]
    return "\n".join(lines) + "\n"


class _Unreadable(Exception):
    """What git says of a configuration that it cannot read."""


@functools.lru_cache(maxsize=64)
def _entries(content: bytes) -> Sequence[tuple[str, str]]:
    """The entries of a configuration's text. A repository is looked at ten times for one task, and
    its configuration is nearly always the same."""
    # From stdin, so that git opens no file; without the option it would open included ones.
    argv = ["config", "--file", "-", "--no-includes", "-z", "--list"]
    listed = run_git(argv, Path("/"), stdin=content)
    if listed.code != 0:
        raise _Unreadable(listed.reason)
    entries = listed.stdout.decode("utf-8", "backslashreplace").split("\0")[:-1]
    parted = (entry.partition("\n") for entry in entries)
    return [(key, value if newline else "true") for key, newline, value in parted]


def _read_config(path: Path, place: RepositoryPaths) -> Config:
    """The repository's configuration as data, without the files that it includes."""
    values: dict[str, list[str]] = {}
    files = [place.common / "config"]
    for file in files:
        content = read_small(file, _CONFIG_LIMIT)
        if content is None and file.exists():
            raise broken(path, f"{file.name} is not a regular file, or too large")
        read = _entries if len(content or b"") <= _KEPT_LIMIT else _entries.__wrapped__
        try:
            entries = read(content or b"")
        except _Unreadable as error:
            raise broken(path, str(error).replace("standard input", f"file {file}")) from error
        for key, value in entries:
            values.setdefault(key, []).append(value)
        if file.name == "config" and values.get("extensions.worktreeconfig", [""])[-1] == "true":
            files.append(place.git_dir / "config.worktree")
    return values
