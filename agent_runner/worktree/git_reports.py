"""Reads what the scripts of worktree_scripts.py report on standard error. Names are untrusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent_runner.printable import only_printable
from agent_runner.process.commands import CommandResult

MAX_LACKING = 5
"""The names in a warning about files that a snapshot lacks; each has up to MAX_NAME characters."""

MAX_NAME = 200

NOTED = ("left-out", "stray", "unpublished", "raw-lfs", "filtered")
"""The reports of files that a snapshot leaves out, or holds and should not."""


REPORTS = {
    "ready": 1,
    "new": 1,
    "aside": 1,
    "seeded": 1,
    "repaired": 1,
    "same": 1,
    "reset": 1,
    "adopted": 1,
    "remembered": 1,
    "unchanged": 1,
    "committed": 2,
    "snapshot": 4,
    "finished": 2,
}
"""The number of words in each report of a script's end. All but the first are ids."""


@dataclass(frozen=True)
class PutBackFiles:
    """What was put back: the files, and the reference that keeps their changed content."""

    names: Sequence[str]
    kept: str


def lacking(result: CommandResult) -> list[str]:
    return shown(marked(result.stderr.decode(errors="replace").splitlines(), "rover lacks "))


def noted(result: CommandResult) -> dict[str, list[str]]:
    lines = result.stderr.decode(errors="replace").splitlines()
    return {what: shown(marked(lines, f"rover {what} ")) for what in NOTED}


def marked(lines: Sequence[str], mark: str) -> list[str]:
    return [line.removeprefix(mark)[:MAX_NAME] for line in lines if line.startswith(mark)]


def shown(names: Iterable[str]) -> list[str]:
    known = sorted({only_printable(name) for name in names})
    more = [f"{len(known) - MAX_LACKING} more"] if len(known) > MAX_LACKING else []
    return [*known[:MAX_LACKING], *more]


def text(result: CommandResult) -> str:
    lines = result.stderr.decode(errors="replace").splitlines()
    words = "\n".join(line for line in lines if not line.startswith("rover ")).strip()
    return words[-500:] or f"exit status {result.code}"
