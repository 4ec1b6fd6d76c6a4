"""The table of docs/real-projects.md, made of what was seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.real_projects.projects import PROJECTS, Project
from tests.real_projects.tasks import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "real-projects.md"
BEGIN = "<!-- table: written by python -m tests.real_projects -->"
END = "<!-- end of table -->"
HEAD = (
    "| project | files | worktree add | engine | first step | install | change | test | total "
    "| result |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Row:
    """What was seen of one project. `plain`: seconds of `git worktree add`."""

    project: Project
    files: int
    plain: float
    outcomes: Sequence[Outcome]


def with_rows(page: str, rows: Sequence[Row]) -> str:
    """The page with these rows; those of projects that were not run stay."""
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    lines = {row.project.name: _lines(row) for row in rows}
    kept = [line for line in old.splitlines() if line.startswith("| ")][1:]
    for project in PROJECTS:
        mine = [line for line in kept if line.startswith(f"| {project.name} ")]
        lines.setdefault(project.name, mine)
    table = [line for project in PROJECTS for line in lines[project.name]]
    return "\n".join([f"{before}{BEGIN}", "", *HEAD, *table, "", f"{END}{after}"])


def _lines(row: Row) -> list[str]:
    return [_line(row, outcome) for outcome in row.outcomes]


def _line(row: Row, outcome: Outcome) -> str:
    ratio = outcome.first_step / row.plain
    cells = [
        f"{row.project.name} ({row.project.what})",
        f"{row.files:,}",
        f"{row.plain:.2f} s",
        outcome.engine,
        f"{outcome.first_step:.2f} s ({ratio:.1f} times)",
        *(_seconds(outcome.steps.get(step)) for step in ("install", "implement", "test")),
        f"{outcome.whole:.1f} s",
        "; ".join(outcome.wrong) or "delivered, nothing else in the diff",
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"
