"""The table of docs/agents.md, made of what was seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.matrix.cells import AGENTS, CELLS, Cell, CellResult

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
BEGIN = "<!-- matrix: written by python -m tests.matrix -->"
END = "<!-- end of matrix -->"

Columns = Mapping[str, list[str]]
"""By agent: the heading, then one cell for each of CELLS."""


def with_table(page: str, seen: Sequence[CellResult], day: str) -> str:
    """The page with what was seen on `day`; columns of agents that were not run stay as their
    last run left them, with its day."""
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    columns = {**_columns_of(old), **_columns(seen, day)}
    return "\n".join([f"{before}{BEGIN}", *_table(columns), f"{END}{after}"])


def _columns(seen: Sequence[CellResult], day: str) -> Columns:
    versions = {s.agent: s.version for s in seen if s.version}
    found = {(s.agent, s.cell): s for s in seen}
    return {
        agent: [
            f"{agent} {versions.get(agent, '')}, {day}",
            *(_shown(found.get((agent, cell.name))) for cell in CELLS),
        ]
        for agent in dict.fromkeys(s.agent for s in seen)
    }


def _columns_of(table: str) -> Columns:
    """The columns of a table that was written earlier, if it has today's rows."""
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line
    ]
    if [row[:2] for row in rows[2:]] != [[cell.title, _pause(cell)] for cell in CELLS]:
        return {}
    columns = [[row[at] for row in (rows[0], *rows[2:])] for at in range(2, len(rows[0]))]
    return {column[0].partition(" ")[0]: column for column in columns}


def _table(columns: Columns) -> list[str]:
    """One column an agent, one row a trouble."""
    shown = [columns[agent] for agent in AGENTS if agent in columns]
    if not shown:
        return ["", "Not run yet.", ""]
    first = [("", "pauses as"), *((cell.title, _pause(cell)) for cell in CELLS)]
    lines = [
        f"| {' | '.join([*names, *(column[at] for column in shown)])} |"
        for at, names in enumerate(first)
    ]
    return ["", lines[0], f"|{'---|' * (2 + len(shown))}", *lines[1:], ""]


def _pause(cell: Cell) -> str:
    return str(cell.reason) if cell.retry_in is None else f"{cell.reason}, with its time"


def _shown(seen: CellResult | None) -> str:
    if seen is None:
        return "not run"
    if seen.wrong:
        return "**fails**: " + "; ".join(seen.wrong).replace("|", "/")[:120]
    return "ok" if seen.after is None else f"ok, {seen.after:.0f} s"
