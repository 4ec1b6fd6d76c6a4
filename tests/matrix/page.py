"""The table of docs/agents.md, made of what was seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.matrix.cells import CELLS, Cell, Seen

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
BEGIN = "<!-- matrix: written by python -m tests.matrix -->"
END = "<!-- end of matrix -->"


def with_table(page: str, seen: Sequence[Seen]) -> str:
    """The page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", *table(seen), f"{END}{after}"])


def table(seen: Sequence[Seen]) -> list[str]:
    """One column an agent, one row a trouble."""
    agents = list(dict.fromkeys(s.agent for s in seen))
    if not agents:
        return ["", "Not run yet.", ""]
    versions = {s.agent: s.version for s in seen if s.version}
    heads = [f"{agent} {versions.get(agent, '')}".strip() for agent in agents]
    lines = ["", f"| | pauses as | {' | '.join(heads)} |", f"|---|---|{'---|' * len(agents)}"]
    found = {(s.agent, s.cell): s for s in seen}
    for cell in CELLS:
        cells = [_shown(found.get((agent, cell.name))) for agent in agents]
        lines.append(f"| {cell.title} | {_pause(cell)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _pause(cell: Cell) -> str:
    return str(cell.reason) if cell.retry_in is None else f"{cell.reason}, with its time"


def _shown(seen: Seen | None) -> str:
    if seen is None:
        return "not run"
    if seen.wrong:
        return "**fails**: " + "; ".join(seen.wrong).replace("|", "/")[:120]
    return "ok" if seen.after is None else f"ok, {seen.after:.0f} s"
