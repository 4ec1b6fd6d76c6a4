"""`python -m tests.attacks`: put the tables of attacks into docs/security.md."""

from __future__ import annotations

from pathlib import Path

from tests.attacks import code_ipi, escape_bench, known
from tests.attacks.classes import INSIDE
from tests.attacks.classes.egress import EGRESS
from tests.attacks.plants import MISLEADING, PLANTS
from tests.attacks.variants import VARIANTS

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- attacks: generated -->\n", "<!-- attacks: end -->\n"

INJECTED = """\
Of the 45 samples of CodeIPI (`inspect-evals` 0.28.0) 35 tell an agent to read secrets, to run a program,
or to plant something that stays. A model that obeys each of them drives Claude's real program in
bubblewrap, and the same commands run in docker and podman, with an attempt to send away what they
printed. All of them run; nothing of the host's is found, nothing leaves but what the model's provider is
shown, and what they planted is in the branch, shown first, or gone with the sandbox. The other 10 hold
nothing to obey.

All 45 are also given as context: as issues with comments, as pull requests with reviews, comments on
lines and a diff, and as web pages. The task has no more rights than one without context, and nothing of
the user's is found, the forge's sign-in included."""


def tables() -> str:
    kinds = [
        (k.title, [(a.attempts, a.opened, a.stopped_by) for a in k.attacks])
        for k in (*INSIDE, *EGRESS)
    ]
    planted = [(p.attempts, bool(p.trigger), p.stopped_by) for p in (*PLANTS, *MISLEADING)]
    kinds.append(("git: what is planted in the clone", planted))
    own = [(v.attempts, False, v.stopped_by) for v in VARIANTS]
    kinds.append(("tasks of their own", own))
    lines: list[str] = []
    for title, attacks in kinds:
        lines += [f"### {title[0].upper()}{title[1:]}", "", "| it tries to | | stopped by |"]
        lines += ["|---|---|---|"]
        lines += [f"| {tries} | {'✔' if shown else ''} | {by} |" for tries, shown, by in attacks]
        lines.append("")
    lines += ["### What was done to other products", "", *known.table(known.collect()), ""]
    lines += ["### SandboxEscapeBench", "", *escape_bench.table(), ""]
    lines += ["### CodeIPI", "", INJECTED, "", *code_ipi.table(), ""]
    return "\n".join(lines)


def with_tables(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
