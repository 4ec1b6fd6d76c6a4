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
from rover_mcp.domain.side_choice import FileAnswer, Side
from rover_mcp.git.bundle import BundleHeader, render_header
from rover_mcp.git.conflicts import LOCK_FILES
from rover_mcp.git.git_errors import checked
from rover_mcp.git.replay import ANYBODY, FOLDER, Git, ReplayStop, StagedEntry
from rover_mcp.git.side_conflicts import STAGES, files_of, is_plain, stages_of

NO_ID = "0" * 40
MARK = 7
"""Characters of a marker, as git writes it and agents know it."""


@dataclass(frozen=True)
class ResolvedFile:
    """A file that stopped a replay, and what resolves it."""

    stop: ReplayStop
    path: str
    answer: FileAnswer


@dataclass
class ResolvedStops:
    """Resolves stops with what `answer` has, by the key of a conflict. `used` are those that were
    asked for, in the order of the replay."""

    git: Git
    answer: Callable[[str], FileAnswer | None]
    used: list[ResolvedFile] = field(default_factory=list[ResolvedFile])

    def __call__(self, stop: ReplayStop) -> str | None:
        """The tree that resolves a stop; None where a file of it has no answer."""
        if not stop.paths or not is_plain(stop):
            return None
        # A file that each side gave another name is at neither of them under its old one.
        old = [path for path in stop.paths if set(stages_of(stop, path)) == {1}]
        answers = {
            path: self.answer(conflict_key(stop, path)) for path in stop.paths if path not in old
        }
        files = {path: answer for path, answer in answers.items() if answer is not None}
        if not answers or len(files) < len(answers):
            return None
        self.used += [ResolvedFile(stop, path, answer) for path, answer in files.items()]
        texts = {path: one.text for path, one in files.items() if one.side is Side.FILE}
        sides = {
            path: stages_of(stop, path).get(STAGES[one.side])
            for path, one in files.items()
            if one.side is not Side.FILE
        }
        replaced = self._replaced(stop, sides)
        if any(entry and path in replaced for path, entry in sides.items()):
            return None  # one answer keeps a file in a folder that another one gives up
        gone = dict.fromkeys([*old, *stop.aside.values(), *replaced])
        kept = {path: e for path, e in sides.items() if e is None or e.mode != FOLDER}
        return tree_with(self.git, stop.tree, texts, {**gone, **kept})

    def _replaced(
        self, stop: ReplayStop, sides: Mapping[str, StagedEntry | None]
    ) -> Collection[str]:
        """The files of the folders that give way to a file."""
        return {
            f"{path}/{name}"
            for path, entry in sides.items()
            if path in stop.aside and entry and entry.mode != FOLDER
            for name in files_of(self.git, f"{stop.tree}:{path}")
        }


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


def tree_with(
    git: Git,
    tree: str,
    files: Mapping[str, str],
    entries: Mapping[str, StagedEntry | None] | None = None,
) -> str:
    """A tree in which these files, which it has, have other texts, and in which these `entries`
    are; None: nothing is there.

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
            lines.append(_entry(modes[path], blob, path))
        for path, entry in (entries or {}).items():
            lines.append(
                _entry(entry.mode, entry.blob, path) if entry else _entry("0", NO_ID, path)
            )
        _run(git, ["update-index", "-z", "--index-info"], index, stdin=b"".join(lines))
        return _run(git, ["write-tree"], index)


def _entry(mode: str, name: str, path: str) -> bytes:
    return f"{mode} {name}\t".encode() + path.encode("utf-8", "surrogateescape") + b"\0"


def _modes(git: Git, tree: str, paths: Sequence[str]) -> dict[str, str]:
    if not paths:
        return {}
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
