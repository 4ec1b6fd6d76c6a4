"""What the scripts of worktree_scripts.py report on standard error. Names are untrusted text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent_runner.commands import CommandResult

MAX_LACKING = 5
"""Names of what a snapshot lacks that are told; and so many characters of each as MAX_NAME."""

MAX_NAME = 200

NOTED = ("left-out", "stray", "unpublished", "raw-lfs", "filtered")
"""Reports of what a snapshot leaves out, or holds and better did not."""


def lacking(result: CommandResult) -> list[str]:
    return shown(marked(result.stderr.decode(errors="replace").splitlines(), "rover lacks "))


def noted(result: CommandResult) -> dict[str, list[str]]:
    lines = result.stderr.decode(errors="replace").splitlines()
    return {what: shown(marked(lines, f"rover {what} ")) for what in NOTED}


def marked(lines: Sequence[str], mark: str) -> list[str]:
    return [line.removeprefix(mark)[:MAX_NAME] for line in lines if line.startswith(mark)]


def shown(names: Iterable[str]) -> list[str]:
    known = sorted({"".join(c if c.isprintable() else "?" for c in name) for name in names})
    more = [f"{len(known) - MAX_LACKING} more"] if len(known) > MAX_LACKING else []
    return [*known[:MAX_LACKING], *more]


def text(result: CommandResult) -> str:
    lines = result.stderr.decode(errors="replace").splitlines()
    said = "\n".join(line for line in lines if not line.startswith("rover ")).strip()
    return said[-500:] or f"exit status {result.code}"
