"""`python -m tests.attacks`: put the tables of attacks into docs/security.md."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.classes import INSIDE

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- attacks: generated -->\n", "<!-- attacks: end -->\n"


def tables() -> str:
    lines: list[str] = []
    for kind in INSIDE:
        lines += [
            f"### {kind.title[0].upper()}{kind.title[1:]}",
            "",
            "| it tries to | | stopped by |",
        ]
        lines += ["|---|---|---|"]
        for attack in kind.attacks:
            shown = "✔" if attack.opened else ""
            lines.append(f"| {attack.attempts} | {shown} | {attack.stopped_by} |")
        lines.append("")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
