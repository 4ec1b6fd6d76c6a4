"""The files of a task as large as tasks get: 500 steps, 40 pauses, 5 iterations, 20 MB of logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from agent_runner.journal.record_lines import Chain, Record, RecordType, encode
from agent_runner.models import PauseReason
from rover_mcp.domain.paths import TaskFolders
from tests.support.sample_reports import BEGIN, JournalScript

ITERATIONS: Final = 5
STEPS: Final = 100
PAUSES: Final = 8
"""Steps and pauses of each iteration."""
LOGS_SIZE: Final = 20_000_000
LINE: Final = "\x1b[32mPASSED\x1b[0m tests/test_<module>.py::test_a & b \x1b[1;31m{}\x1b[0m\n"


def write_large_task(home: Path, task_id: str) -> None:
    """Write the journals and logs."""
    for number in range(1, ITERATIONS + 1):
        folders = TaskFolders(home, task_id, number)
        logs = folders.run / "logs"
        logs.mkdir(parents=True)
        folders.journal.write_bytes(journal_of(_run()))
        each = LOGS_SIZE // (ITERATIONS * STEPS)
        text = "".join(LINE.format(n) for n in range(each // len(LINE) + 1))
        for step in range(STEPS):
            (logs / f"step-{step}.log").write_text(text)


def journal_of(records: list[Record]) -> bytes:
    """The lines of a journal with these records."""
    lines: list[bytes] = []
    chain = Chain()
    for record in records:
        line, chain = encode(chain, record.at, record.type, record.data)
        lines.append(line)
    return b"".join(lines)


def _run() -> list[Record]:
    steps: list[dict[str, Any]] = [
        {"id": f"step-{n}", "name": f"Step {n} of the <plan>", "type": "agent"}
        for n in range(STEPS)
    ]
    script = JournalScript(BEGIN)
    script.start(steps)
    for place, step in enumerate(steps):
        if place % (STEPS // PAUSES) == 1 and place // (STEPS // PAUSES) < PAUSES:
            script.add(RecordType.STEP_START, 1, step=step["id"])
            message = "5-hour limit reached, it resets at 13:05 UTC " * 5
            pause = {
                "reason": str(PauseReason.USAGE_WINDOW), "message": message,
                "since": script.at.isoformat(), "step": step["id"], "provider": "anthropic",
            }  # fmt: skip
            script.add(RecordType.WORKFLOW_PAUSE, 30, pause=pause)
            script.at = script.at.replace(microsecond=0)
            script.start(steps, attempt=2)
            script.add(RecordType.WORKFLOW_RESUME, 900, attempt=2, skipped=place)
        script.step(str(step["id"]), 20, tokens=9000, usd=0.02)
    script.add(RecordType.WORKFLOW_COMPLETE, 1)
    return script.records
