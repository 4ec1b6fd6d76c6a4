"""Which files differ between two commits, and which a commit has: names and ids, no contents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_process import run_git


@dataclass(frozen=True)
class ChangedFile:
    """`kind` is git's letter A, D, M or T; a moved file is one deleted and one added. `old` and
    `new` are the ids of its contents."""

    path: str
    kind: str
    old: str
    new: str


def changes(repo: Path, old: str, new: str, env: Mapping[str, str]) -> list[ChangedFile]:
    """Every file that differs.

    Raises:
        EnvironmentFault: git failed.
    """
    listed = ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", old, new]
    fields = _fields(repo, listed, env)
    return [
        ChangedFile(_name(next(fields)), raw[4].decode(), raw[2].decode(), raw[3].decode())
        for raw in (field.split(b" ") for field in fields)
    ]


def files(repo: Path, commit: str, env: Mapping[str, str]) -> Sequence[str]:
    """The names of all files of a commit.

    Raises:
        EnvironmentFault: git failed.
    """
    return [
        _name(name) for name in _fields(repo, ["ls-tree", "-r", "-z", "--name-only", commit], env)
    ]


def file_bytes(
    repo: Path, commit: str, path: str, limit: int, env: Mapping[str, str]
) -> bytes | None:
    """The content of a regular file of a commit; None where there is none, or it exceeds `limit`
    bytes.

    Raises:
        EnvironmentFault: git failed.
    """
    argv = ["--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", path]
    listed = run_git(argv, repo, extra_env=env)
    if listed.code != 0:
        raise EnvironmentFault(f"git ls-tree failed: {listed.reason}", code="git_failed")
    mode, _, rest = listed.stdout.partition(b" ")
    if mode not in (b"100644", b"100755"):
        return None
    blob = rest.split()[1].decode()
    shown = run_git(["cat-file", "blob", blob], repo, extra_env=env, output_limit=limit)
    return None if shown.code != 0 or shown.truncated else shown.stdout


def _fields(repo: Path, argv: Sequence[str], env: Mapping[str, str]) -> Iterator[bytes]:
    """The fields that git lists, split at NUL."""
    # By way of a file, because a list of all files can exceed the limit on what is kept in memory.
    with tempfile.TemporaryFile() as out:
        result = run_git(argv, repo, extra_env=env, stdout=out.fileno())
        if result.code != 0:
            raise EnvironmentFault(f"git {argv[0]} failed: {result.reason}", code="git_failed")
        out.seek(0)
        return iter(out.read().split(b"\0")[:-1])


def _name(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
