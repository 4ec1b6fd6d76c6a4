"""Messages that people reported, with what each must mean: `python -m tests.reported [FILE...]`.

reported.jsonl and collected.jsonl of tests/data/limits, one case a line as `rover explain` takes it,
and composed.jsonl, whose messages are written by hand in the forms that providers use. Each has
`reasons` (any of them is right), `retry_at` where a time can be known, and the public page that
`source` names. The command prints the rate of each provider; a file of the same form may be named,
or one with `expected_reason` and `expected_retry`.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rover_mcp.explain import Case, Explained, explain, parse

FOLDER = Path(__file__).parent / "data" / "limits"
FILES = tuple(FOLDER / f"{name}.jsonl" for name in ("reported", "collected", "composed"))
NEAR = timedelta(minutes=1)


@dataclass(frozen=True)
class Reported:
    """One case. `found` is what the command makes of it."""

    id: str
    provider: str
    reasons: tuple[str, ...]
    retry_at: datetime | None
    found: Explained
    source: str = ""

    @property
    def reason_is_right(self) -> bool:
        return self.found.reason in self.reasons

    @property
    def time_is_right(self) -> bool:
        """Whether it goes on when it should, by the time that was told or by its plan."""
        if self.retry_at is None:
            return True
        told, plan = self.found.verdict and self.found.verdict.retry_at, self.found.plan
        first = next(iter(plan.resumes), None) if plan else None
        return any(at and abs(at - self.retry_at) <= NEAR for at in (told, first))


def reported(files: Iterable[Path] = FILES) -> list[Reported]:
    """All cases, in their order."""
    return [_read(line) for file in files for line in file.read_text("utf-8").splitlines() if line]


def _read(line: str) -> Reported:
    fields: dict[str, Any] = json.loads(line)
    reasons = fields.pop("reasons", None) or fields["expected_reason"]
    at = fields.pop("retry_at", None) or fields.get("expected_retry")
    (parsed,) = parse(json.dumps(fields))
    found = explain(parsed)
    if not isinstance(found, Explained):
        raise TypeError(f"{fields['id']}: {found.error}")
    when = datetime.fromisoformat(at.replace("Z", "+00:00")) if at else None
    source = fields.get("source", "")
    return Reported(fields["id"], fields["provider"], tuple(reasons), when, found, source)


def cases(files: Iterable[Path] = FILES) -> list[Case]:
    """The cases themselves."""
    return [one.found.case for one in reported(files)]


def rates(found: Iterable[Reported]) -> list[str]:
    """A line for each provider, what is wrong below, and the sum."""
    by_provider: defaultdict[str, list[Reported]] = defaultdict(list)
    for case in found:
        by_provider[case.provider].append(case)
    lines = [_rate(name, some) for name, some in sorted(by_provider.items())]
    return [*lines, _rate("all", [c for some in by_provider.values() for c in some])]


def _rate(name: str, cases: list[Reported]) -> str:
    timed = [c for c in cases if c.retry_at]
    line = (
        f"{name:16} reason {sum(c.reason_is_right for c in cases)}/{len(cases)}"
        f"  time {sum(c.time_is_right for c in timed)}/{len(timed)}"
        f"  both {sum(c.reason_is_right and c.time_is_right for c in cases)}/{len(cases)}"
    )
    if name == "all":
        return line
    wrong = [c for c in cases if not (c.reason_is_right and c.time_is_right)]
    told = [f"    {c.id}: {c.found.reason}, {c.found.as_json()['retry_at']}" for c in wrong]
    return "\n".join([line, *told])


if __name__ == "__main__":
    print("\n".join(rates(reported([Path(name) for name in sys.argv[1:]] or FILES))))
