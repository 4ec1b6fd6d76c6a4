"""Which conflicts of a stop are resolved by a text, which by the choice of a side, and which not at
all here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import unified_diff

from rover_mcp.domain.side_choice import ChoiceConflict, Side, SideContent
from rover_mcp.domain.text import plain
from rover_mcp.git.conflicts import LINK, MOST_BYTES, SUBMODULE, conflict_kind
from rover_mcp.git.replay import Git, ReplayStop, StagedEntry

LOCK_FILE = "lock file"
RESOLVABLE = frozenset({"contents", "added twice", LOCK_FILE})
"""Kinds of conflicts that end in a text: an agent's, or that of the program which writes the
file."""
CHOSEN = frozenset({"modify/delete", "rename", "binary", "link", "mode", "submodule"})
"""Kinds that end in what one side has, or in another text."""
OLD_NAME = "old name"
"""The kind of a path that both sides renamed to another one each: it is gone in any case."""
STAGES = {Side.BASE: 2, Side.BRANCH: 3}
MOST_LINES = 120
"""Of what a side changed in a file that the other one deleted."""
_RENAMED_TWICE = "CONFLICT (rename/rename)"
_OF_TEXT = "CONFLICT (contents)"
_PLAIN = (
    _OF_TEXT, _RENAMED_TWICE, "CONFLICT (binary)", "CONFLICT (modify/delete)",
    "CONFLICT (rename/delete)", "CONFLICT (rename involved in collision)", "CONFLICT (submodule",
)  # fmt: skip
"""How git's names begin of conflicts in which each path stands for itself. For others, such as a
file in the place of a folder, it has moved something out of the way."""


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
    return {path: kind for path, kind in kinds.items() if kind not in solvable} | elsewhere


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
            conflicts[path] = ChoiceConflict(path, kind, base, branch)
    return conflicts


def rename_groups(stop: ReplayStop, kinds: Mapping[str, str]) -> list[list[str]]:
    """The names that both sides gave to one file."""
    groups = [m.paths for m in stop.messages if m.kind == _RENAMED_TWICE]
    return [[path for path in group if kinds.get(path) in CHOSEN] for group in groups]


def _content(git: Git, entry: StagedEntry | None, before: str | None) -> SideContent | None:
    if entry is None:
        return None
    if entry.mode == SUBMODULE:
        return SideContent(None, f"a submodule at {entry.blob}")
    text = _text(git, entry)
    if entry.mode == LINK:
        return SideContent(None, f"a symbolic link to {plain(text or '')[:300]!r}")
    what = "an executable file" if entry.mode == "100755" else "a file"
    if text is None:
        size = git(["cat-file", "-s", entry.blob]).text
        return SideContent(None, f"{what} of {size} bytes")
    return SideContent(text, f"{what}{_shown(before, text)}")


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
