"""Which conflicts of a stop are resolved by a text, which by the choice of a side, and which not at
all here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import unified_diff

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.side_choice import FILE_OR_FOLDER, ChoiceConflict, Side, SideContent
from rover_mcp.domain.text import plain, visible_line
from rover_mcp.git.conflicts import LINK, MOST_BYTES, SUBMODULE, conflict_kind
from rover_mcp.git.replay import FOLDER, IN_THE_WAY, Git, ReplayStop, StagedEntry

LOCK_FILE = "lock file"
RESOLVABLE = frozenset({"contents", "added twice", LOCK_FILE})
"""Kinds of conflicts that end in a text: an agent's, or that of the program which writes the
file."""
CHOSEN = frozenset(
    {"modify/delete", "rename", FILE_OR_FOLDER, "binary", "link", "mode", "submodule"}
)
"""Kinds that end in what one side has, or in another text."""
OLD_NAME = "old name"
"""The kind of a path that both sides renamed to another one each: it is gone in any case."""
STAGES = {Side.BASE: 2, Side.BRANCH: 3}
MOST_LINES = 120
"""Of what a side changed in a file that the other one deleted."""
MOST_NAMES = 30
"""Of files in a folder."""
_LIST_LIMIT = 64 * 1024**2
_RENAMED_TWICE = "CONFLICT (rename/rename)"
_OF_TEXT = "CONFLICT (contents)"
_PLAIN = (
    _OF_TEXT, _RENAMED_TWICE, "CONFLICT (binary)", "CONFLICT (modify/delete)",
    "CONFLICT (rename/delete)", "CONFLICT (rename involved in collision)", "CONFLICT (submodule",
    IN_THE_WAY,
)  # fmt: skip
"""How git's names begin of conflicts in which each path stands for itself, but for what is in a
folder that a file may replace. For others, such as a file in the place of a link, git has moved
something out of the way."""


def stop_kinds(stop: ReplayStop, textual: Callable[[str], bool]) -> dict[str, str]:
    """The kind of each conflicted path of a stop. `textual`: whether all sides of it are text."""
    kinds: dict[str, str] = {}
    for path in stop.paths:
        stages = stages_of(stop, path)
        kind = conflict_kind(path, stages, {m.kind for m in stop.messages if path in m.paths})
        if any("\udc80" <= letter <= "\udcff" for letter in path):
            kind = "other"
        elif set(stages) == {1} and kind == "rename":
            kind = OLD_NAME
        elif kind in RESOLVABLE and not textual(path):
            kind = "binary"
        kinds[path] = kind
    return kinds


def unresolvable(stop: ReplayStop, textual: Callable[[str], bool]) -> dict[str, str]:
    """The files of a stop that can be resolved neither by a text nor by a choice, each with the
    kind of its conflict."""
    odd = [m for m in stop.messages if not m.kind.startswith(_PLAIN)]
    elsewhere = {
        path: m.kind.removeprefix("CONFLICT ").strip("()") for m in odd for path in m.paths
    }
    solvable = {*RESOLVABLE, *CHOSEN, OLD_NAME}
    kinds = stop_kinds(stop, textual)
    folders = tuple(f"{path}/" for path, kind in kinds.items() if kind == FILE_OR_FOLDER)
    unsolved = {
        path: kind
        for path, kind in kinds.items()
        # A text is not judged together with what becomes of the folder that it is in.
        if kind not in solvable or (kind in RESOLVABLE and path.startswith(folders))
    }
    return unsolved | elsewhere


def is_plain(stop: ReplayStop) -> bool:
    """Whether each path of a stop can be resolved without regard to the others."""
    return all(message.kind.startswith(_PLAIN) for message in stop.messages)


def stages_of(stop: ReplayStop, path: str) -> Mapping[int, StagedEntry]:
    """The sides of a conflicted path, by their stage."""
    return {entry.stage: entry for entry in stop.entries if entry.path == path}


def choice_conflicts(
    git: Git, stop: ReplayStop, kinds: Mapping[str, str]
) -> dict[str, ChoiceConflict]:
    """The conflicts of a stop for which a side has to be chosen."""
    conflicts: dict[str, ChoiceConflict] = {}
    for path, kind in kinds.items():
        if kind in CHOSEN:
            stages = stages_of(stop, path)
            before = _text(git, stages.get(1))
            base, branch = (_content(git, stages.get(n), before) for n in STAGES.values())
            if kind == FILE_OR_FOLDER:
                base, branch = (_beside(side, stop.aside[path]) for side in (base, branch))
            conflicts[path] = ChoiceConflict(path, kind, base, branch)
    return conflicts


def _beside(side: SideContent | None, place: str) -> SideContent | None:
    """What a side has where the other one has a folder or a file: to be chosen as it is."""
    if side is None or side.is_folder:
        return side
    return SideContent(None, f"{side.shown}\n    (in your folder it is at {visible_line(place)})")


def rename_groups(stop: ReplayStop, kinds: Mapping[str, str]) -> list[list[str]]:
    """The names that both sides gave to one file."""
    groups = [m.paths for m in stop.messages if m.kind == _RENAMED_TWICE]
    return [[path for path in group if kinds.get(path) in CHOSEN] for group in groups]


def _content(git: Git, entry: StagedEntry | None, before: str | None) -> SideContent | None:
    if entry is None:
        return None
    if entry.mode == SUBMODULE:
        return SideContent(None, f"a submodule at {entry.blob}")
    if entry.mode == FOLDER:
        return SideContent(None, _folder(git, entry.blob), is_folder=True)
    text = _text(git, entry)
    if entry.mode == LINK:
        return SideContent(None, f"a symbolic link to {plain(text or '')[:300]!r}")
    what = "an executable file" if entry.mode == "100755" else "a file"
    if text is None:
        size = git(["cat-file", "-s", entry.blob]).text
        return SideContent(None, f"{what} of {size} bytes")
    return SideContent(text, f"{what}{_shown(before, text)}")


def _folder(git: Git, tree: str) -> str:
    files = files_of(git, tree)
    more = [f"    [{len(files) - MOST_NAMES} more files]"] if len(files) > MOST_NAMES else []
    names = [f"    | {visible_line(name)}" for name in files[:MOST_NAMES]]
    return "\n".join(["a folder with these files:", *names, *more])


def files_of(git: Git, tree: str) -> list[str]:
    """The paths of all files below a tree."""
    listed = git(["ls-tree", "-r", "-z", "--name-only", tree], output_limit=_LIST_LIMIT)
    if listed.code != 0 or listed.truncated:
        raise EnvironmentFault(f"a folder cannot be read: {listed.reason}", code="rebase_failed")
    return listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


def _shown(before: str | None, text: str) -> str:
    if before is None:
        lines: Sequence[str] = [f"+{line}" for line in text.splitlines()]
    else:
        old, new = before.splitlines(), text.splitlines()
        lines = [*unified_diff(old, new, lineterm="", n=2)][2:]
    if not lines:
        return ", with the text that both were made from"
    more = [f"    [{len(lines) - MOST_LINES} more lines]"] if len(lines) > MOST_LINES else []
    quoted = [f"    | {plain(line)}" for line in lines[:MOST_LINES]]
    return "\n".join([", with these changes:", *quoted, *more])


def _text(git: Git, entry: StagedEntry | None) -> str | None:
    if entry is None or entry.mode == SUBMODULE:
        return None
    shown = git(["cat-file", "blob", entry.blob], output_limit=MOST_BYTES)
    if shown.code != 0 or shown.truncated or b"\0" in shown.stdout:
        return None
    try:
        return shown.stdout.decode()
    except UnicodeDecodeError:
        return None
