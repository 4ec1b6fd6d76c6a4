"""Trees for the stops of a replay: with the places in conflict marked for somebody who resolves
them, and with the texts that resolve them."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from agent_runner.models import Snapshot
from rover_mcp.domain.conflicted_file import ConflictRegion
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.bundle import BundleHeader, render_header
from rover_mcp.git.conflicts import LOCK_FILES, conflict_kind
from rover_mcp.git.git_errors import checked
from rover_mcp.git.replay import ANYBODY, Git, ReplayStop

LOCK_FILE = "lock file"
RESOLVABLE = frozenset({"contents", "added twice", LOCK_FILE})
"""Kinds of conflicts that end in a text: an agent's, or that of the program which writes the
file."""
_OF_TEXT = "CONFLICT (contents)"
MARK = 7
"""Characters of a marker, as git writes it and agents know it."""


@dataclass(frozen=True)
class ResolvedFile:
    """A file that stopped a replay, and the text that resolves it."""

    stop: ReplayStop
    path: str
    text: str


@dataclass
class ResolvedStops:
    """Resolves stops with the texts that `answer` has, by the key of a conflict. `used` are those
    that were asked for, in the order of the replay."""

    git: Git
    answer: Callable[[str], str | None]
    used: list[ResolvedFile] = field(default_factory=list[ResolvedFile])

    def __call__(self, stop: ReplayStop) -> str | None:
        """The tree that resolves a stop; None where a file of it has no answer."""
        if not stop.paths or not is_of_text(stop):
            return None
        texts = {path: self.answer(conflict_key(stop, path)) for path in stop.paths}
        files = {path: text for path, text in texts.items() if text is not None}
        if len(files) < len(texts):
            return None
        self.used += [ResolvedFile(stop, path, text) for path, text in files.items()]
        return tree_with(self.git, stop.tree, files)


def conflict_key(stop: ReplayStop, path: str) -> str:
    """What a conflict is known by: the contents of its sides, wherever they meet again."""
    sides = sorted((e.stage, e.mode, e.blob) for e in stop.entries if e.path == path)
    return hashlib.sha256(repr(sides).encode()).hexdigest()


def lock_command(paths: Iterable[str]) -> str:
    """The shell command that has the lock files among the paths written again, each in its folder;
    empty if there are none."""
    commands: list[str] = []
    for path in map(PurePosixPath, paths):
        if command := LOCK_FILES.get(path.name):
            commands.append(f"(cd -- {shlex.quote(str(path.parent))} && {command})")
    return " && ".join(commands)


def is_lock_file(path: str) -> bool:
    """Whether a program writes this file."""
    return PurePosixPath(path).name in LOCK_FILES


def text_of_base(git: Git, stop: ReplayStop, path: str) -> str:
    """What the new base has in a file; empty if that is not text."""
    blob = next((e.blob for e in stop.entries if e.path == path and e.stage == 2), "")
    return git(["cat-file", "blob", blob]).stdout.decode("utf-8", "replace") if blob else ""


def is_of_text(stop: ReplayStop) -> bool:
    """Whether all that git says of a stop is that texts conflict."""
    return all(message.kind == _OF_TEXT for message in stop.messages)


def unresolvable(stop: ReplayStop, textual: Callable[[str], bool]) -> dict[str, str]:
    """The files of a stop that cannot be resolved by writing a text, each with the kind of its
    conflict. `textual`: whether all sides of a file are text."""
    kinds: dict[str, str] = {}
    for path in dict.fromkeys([*stop.paths, *_elsewhere(stop)]):
        stages = {entry.stage: entry for entry in stop.entries if entry.path == path}
        kind = conflict_kind(path, stages, {m.kind for m in stop.messages if path in m.paths})
        is_lost = kind == LOCK_FILE and not ({2, 3} <= stages.keys() and is_of_text(stop))
        if is_lost or kind not in RESOLVABLE:
            kinds[path] = kind
        elif any("\udc80" <= letter <= "\udcff" for letter in path):
            kinds[path] = "other"
        elif not textual(path):
            kinds[path] = "binary"
    return kinds


def _elsewhere(stop: ReplayStop) -> Collection[str]:
    """Files that git says more of than that their texts conflict."""
    return [p for m in stop.messages if m.kind != _OF_TEXT for p in m.paths]


def marked_text(pieces: Sequence[str | ConflictRegion], onto: str, branch: str) -> str:
    """A file with its places marked as git marks them, with the base between the sides. `onto` and
    `branch` are what the sides are called."""
    return "".join(
        piece if isinstance(piece, str) else _marked(piece, onto, branch) for piece in pieces
    )


def _marked(region: ConflictRegion, onto: str, branch: str) -> str:
    begin, bar, middle, end = (letter * MARK for letter in "<|=>")
    sides = (ended(side) for side in (region.onto, region.base, region.branch))
    ours, common, theirs = sides
    return (
        f"{begin} {onto}\n{ours}{bar} what both were made from\n{common}{middle}\n{theirs}"
        f"{end} {branch}\n"
    )


def ended(text: str) -> str:
    """A text whose last line ends."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def tree_with(git: Git, tree: str, files: Mapping[str, str]) -> str:
    """A tree in which these files, which it has, have other texts.

    Raises:
        EnvironmentFault: git failed ("rebase_failed").
    """
    modes = _modes(git, tree, list(files))
    with tempfile.TemporaryDirectory(prefix="rover-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _run(git, ["read-tree", tree], index)
        lines: list[bytes] = []
        for path, text in files.items():
            blob = _run(git, ["hash-object", "-w", "--stdin"], stdin=text.encode())
            name = path.encode("utf-8", "surrogateescape")
            lines.append(f"{modes[path]} {blob}\t".encode() + name + b"\0")
        _run(git, ["update-index", "-z", "--index-info"], index, stdin=b"".join(lines))
        return _run(git, ["write-tree"], index)


def _modes(git: Git, tree: str, paths: Sequence[str]) -> dict[str, str]:
    listed = git(["--literal-pathspecs", "ls-tree", "-z", "--full-tree", tree, "--", *paths])
    fields = listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    modes = {path: facts[:6] for facts, _, path in (line.partition("\t") for line in fields)}
    if missing := [path for path in paths if modes.get(path) not in ("100644", "100755")]:
        raise EnvironmentFault(
            f"the merged tree has no file {missing[0]!r}: {listed.reason}", code="rebase_failed"
        )
    return modes


def commit_of(git: Git, tree: str, parent: str, message: str) -> str:
    """A commit with a fixed author and date: the same for the same tree, parent and message."""
    argv = ["commit-tree", tree, "-p", parent, "-m", message]
    return _run(git, argv, ANYBODY)


def bundle_stop(git: Git, base: str, snapshot: Snapshot, target: Path) -> None:
    """Write a bundle with which a sandbox begins at a stop: what leads from `base`, which it has,
    to the snapshot and its head.

    Raises:
        EnvironmentFault: git failed, or the disk is full.
        OSError: the file cannot be written.
    """
    # Without the branch: the name of a new task's is not known before the task has a number.
    names = {f"refs/rover/snapshots/{snapshot.sequence}": snapshot.commit}
    wanted = f"{snapshot.commit}\n{snapshot.head}\n^{base}\n".encode()
    argv = ["pack-objects", "-q", "--stdout", "--revs", "--thin", "--delta-base-offset"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        out.write(render_header(BundleHeader([base], names)))
        out.flush()
        packed = git(argv, stdin=wanted, stdout=out.fileno())
        checked(packed, "a stop of the rebase cannot be packed", target.parent)


def _run(
    git: Git, argv: Sequence[str], env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> str:
    result = git(argv, extra_env=env, stdin=stdin)
    if result.code != 0:
        raise EnvironmentFault(f"git {argv[0]} failed: {result.reason}", code="rebase_failed")
    return result.text
