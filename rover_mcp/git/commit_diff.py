"""What differs between two commits of the hub. An agent chose the names and contents."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.git.git_process import GitResult, run_git

PATCH_LIMIT = 200_000
FILES_LIMIT = 2_000
_LISTING_LIMIT = 64 * 1024**2
_RENAME_LIMIT = 400
_STATUS = {
    "A": "added",
    "C": "copied",
    "D": "deleted",
    "M": "modified",
    "R": "renamed",
    "T": "type_changed",
}
_TREES = re.compile(r"([0-9a-f]{40}) ([0-9a-f]{40})")
_SHORT = re.compile(
    r"(\d+) files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?"
)
# What git would take for a pattern, or for a comment.
_BY_PATTERN = re.compile(r"[*?\[\]\\]|^[#!]")
_SETTINGS = (
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.suppressBlankEmpty=false",
    "diff.algorithm=default",
    "diff.renames=true",
    "diff.submodule=short",
)
_OPTIONS = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--ignore-submodules=none",
    "-M",
    f"-l{_RENAME_LIMIT}",
)


@dataclass(frozen=True)
class FileDiff:
    """One path. `status` is added, copied, deleted, modified, renamed or type_changed; lines
    are 0 for a binary file. Bytes of a name that are not UTF-8 are shown escaped."""

    path: str
    added: int
    removed: int
    binary: bool
    status: str
    old_path: str | None = None


@dataclass(frozen=True)
class Totals:
    """The number of files, and of lines in them, that differ."""

    files: int
    added: int
    removed: int


@dataclass(frozen=True)
class Diff:
    """`totals` count every file, `files` and `patch` end at their limits: `truncated` says so."""

    totals: Totals
    files: Sequence[FileDiff]
    patch: str
    truncated: bool


def diff_commits(
    repo: Path,
    base: str,
    target: str,
    paths: Sequence[str] | None = None,
    *,
    patch_limit: int = PATCH_LIMIT,
    first: Callable[[FileDiff], object] | None = None,
    env: Mapping[str, str] | None = None,
) -> Diff:
    """The diff of `target` against `base`, of `paths` (literal, no patterns) if given.

    `patch_limit` is in bytes; 0 leaves the patch out. Files for which `first` is true come before
    the others, in the list and in the patch. `env` says which objects git sees.

    Raises:
        NotFound: a commit is not in `repo` ("unknown_commit").
        EnvironmentFault: git failed or took too long.
    """
    between = (base, target, "--", *(paths or ()))

    def patch(order: Sequence[str] = ()) -> GitResult:
        return _diff_tree(repo, ["-p", *order, *between], patch_limit, env, (base, target))

    with ThreadPoolExecutor(1) as aside:
        # Git compares the same files for both. Few diffs need another order of the patch, which
        # only the list says.
        begun = aside.submit(patch) if patch_limit > 0 else None
        listed = ["-z", "--raw", "--numstat", *between]
        listing = _diff_tree(repo, listed, _LISTING_LIMIT, env, (base, target))
        early, late, totals = _counted(_parse(listing.stdout), first or (lambda _: False))
        shown = begun.result() if begun else None
    if shown is not None and early and (late or len(early) > 1):
        with _order([file.path for file in early]) as order:
            shown = patch(order)
    files = [*early, *late][:FILES_LIMIT]
    cut = listing.truncated or totals.files > len(files) or bool(shown and shown.truncated)
    return Diff(totals, files, shown.stdout.decode("utf-8", "replace") if shown else "", cut)


def totals_of(
    repo: Path, pairs: Sequence[tuple[str, str]], env: Mapping[str, str] | None = None
) -> list[Totals | None]:
    """What differs between the commits of each pair, all asked of one git: a task may have
    hundreds of snapshots. None where a commit is not there, and for all where git failed."""
    known = _trees(repo, dict.fromkeys(commit for pair in pairs for commit in pair), env)
    wanted = {(known[old], known[new]) for old, new in pairs if old in known and new in known}
    lines = "".join(f"{old} {new}\n" for old, new in wanted)
    argv = ["diff-tree", "--stdin", "-r", "--shortstat", *_OPTIONS]
    listed = run_git(
        argv, repo, settings=_SETTINGS, extra_env=env,
        stdin=lines.encode(), output_limit=_LISTING_LIMIT,
    )  # fmt: skip
    if listed.code != 0:
        return [None for _ in pairs]
    # Of trees that are the same git prints their names alone.
    totals = dict.fromkeys(wanted, Totals(0, 0, 0))
    current = ("", "")
    for line in listed.text.splitlines():
        if names := _TREES.fullmatch(line):
            current = (names[1], names[2])
        elif counts := _SHORT.fullmatch(line.strip()):
            totals[current] = Totals(*(int(count or 0) for count in counts.groups()))
    return [totals.get((known.get(old, ""), known.get(new, ""))) for old, new in pairs]


def _trees(repo: Path, commits: Iterable[str], env: Mapping[str, str] | None) -> Mapping[str, str]:
    """The tree of each commit that is there."""
    names = list(commits)
    wanted = "".join(f"{commit}^{{tree}}\n" for commit in names)
    answer = run_git(
        ["cat-file", "--batch-check=%(objecttype) %(objectname)"], repo,
        extra_env=env, stdin=wanted.encode(), output_limit=_LISTING_LIMIT,
    )  # fmt: skip
    lines = zip(names, answer.text.splitlines(), strict=False)
    return {name: line[5:] for name, line in lines if line.startswith("tree ")}


def write_patch(
    repo: Path,
    base: str,
    target: str,
    out: IO[bytes],
    paths: Sequence[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
) -> None:
    """Write to the empty file `out` the patch with which `git apply` turns `base` into `target`,
    byte for byte, binary files included. For the other parameters see diff_commits."""
    wanted = ["-p", "--binary", "--full-index", base, target, "--", *(paths or ())]
    _diff_tree(repo, wanted, 0, env, (base, target), out.fileno())


def _check(repo: Path, commits: Sequence[str], env: Mapping[str, str] | None) -> None:
    for commit in commits:
        if run_git(["cat-file", "-e", f"{commit}^{{commit}}"], repo, extra_env=env).code != 0:
            raise NotFound(f"there is no commit {commit} in the hub", code="unknown_commit")


def _counted(
    files: Iterator[FileDiff], first: Callable[[FileDiff], object]
) -> tuple[list[FileDiff], list[FileDiff], Totals]:
    """The files that come first, the other files, and the totals. Each list ends at the limit, for
    an agent can make millions of files."""
    early: list[FileDiff] = []
    late: list[FileDiff] = []
    count = added = removed = 0
    for file in files:
        count, added, removed = count + 1, added + file.added, removed + file.removed
        kept = early if first(file) else late
        if len(kept) < FILES_LIMIT:
            kept.append(file)
    return early, late, Totals(count, added, removed)


@contextmanager
def _order(paths: Sequence[str]) -> Generator[Sequence[str]]:
    """The option with which git shows these files first. A name with a line end is left out: the
    file that the option names has one pattern in each line."""
    named = [_BY_PATTERN.sub(r"\\\g<0>", path) for path in paths if "\n" not in path]
    if not named:
        yield ()
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("".join(f"{path}\n" for path in named))
        file.flush()
        yield (f"-O{file.name}",)


def _diff_tree(
    repo: Path,
    argv: Sequence[str],
    limit: int,
    env: Mapping[str, str] | None,
    commits: Sequence[str],
    stdout: int | None = None,
) -> GitResult:
    command = ["diff-tree", "-r", *_OPTIONS, *argv]
    result = run_git(
        command, repo, settings=_SETTINGS, output_limit=limit, extra_env=env, stdout=stdout
    )
    if result.code != 0 and not result.truncated:
        _check(repo, commits, env)
        raise EnvironmentFault(f"git diff failed: {result.reason}", code="git_failed")
    return result


def _parse(data: bytes) -> Iterator[FileDiff]:
    """The output of `diff-tree -z --raw --numstat`: all raw records, then all counts, in the same
    order. A record that the limit cut off is left out."""
    fields = iter(data.split(b"\0")[:-1])
    statuses: dict[bytes, str] = {}
    for field in fields:
        if field.startswith(b":"):
            letter = field.rsplit(b" ", 1)[-1][:1].decode()
            path = next(fields, b"")
            if letter in "RC":
                path = next(fields, b"")
            statuses[path] = _STATUS.get(letter, "modified")
            continue
        added, removed, path = field.split(b"\t", 2)
        old: bytes | None = None
        if not path:
            old, path = next(fields, b""), next(fields, b"")
        binary = added == b"-"
        yield FileDiff(
            path=_name(path),
            added=0 if binary else int(added),
            removed=0 if binary else int(removed),
            binary=binary,
            status=statuses.get(path, "modified"),
            old_path=None if old is None else _name(old),
        )


def _name(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
