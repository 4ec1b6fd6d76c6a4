"""How a resolution is shown to the person who decides about it. Pure; the texts are untrusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rover_mcp.domain.resolution import ResolvedPart
from rover_mcp.domain.text import visible_line, visible_patch

MOST_SHOWN = 24_000
"""Characters of all resolutions together."""


@dataclass(frozen=True)
class ShownResolution:
    """A file that was in conflict when `commit` was replayed: each place, and what took it.
    `given_up`: changes of a side that are not in it, with the agent's reasons. `written_by`: the
    command that wrote it, and not the agent."""

    path: str
    commit: str
    subject: str
    parts: Sequence[ResolvedPart]
    given_up: Sequence[str] = ()
    written_by: str = ""
    key: str = ""
    """of its answer"""


def resolution_text(files: Sequence[ShownResolution], onto: str, branch: str) -> str:
    """The resolutions as a patch for people: with `-` both sides, with `+` what took their place.
    `onto` and `branch` are what the sides are called."""
    text = visible_patch("\n".join(_lines(files, onto, branch)))
    if len(text) <= MOST_SHOWN:
        return text
    return f"{text[:MOST_SHOWN]}\n[cut: {len(text) - MOST_SHOWN:,} more characters]"


def _lines(files: Sequence[ShownResolution], onto: str, branch: str) -> Iterator[str]:
    for file in files:
        yield f"{visible_line(file.path)}, at {file.commit[:10]} {visible_line(file.subject)}"
        if file.written_by:
            yield f"  written again by `{visible_line(file.written_by)}`"
        for reason in file.given_up:
            yield f"  given up, {visible_line(reason)}"
        for part in file.parts:
            region = part.region
            yield f"@@ line {region.line}"
            yield from _side(onto, region.onto)
            yield from _side(branch, region.branch)
            yield from (f"+{line}" for line in part.text.splitlines())


def _side(name: str, text: str) -> Iterator[str]:
    yield f"- ({name})"
    yield from (f"-{line}" for line in text.splitlines())
