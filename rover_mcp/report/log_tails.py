"""The ends of a task's logs, as its programs printed them, with colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.report.report_models import LogReport
from rover_mcp.tasks.step_logs import read_tail

LOG_BYTES: Final = 16_000
"""Bytes of one log, its end."""
LOGS_BYTES: Final = 300_000
"""Bytes of all logs together."""
LINE_SHOWN: Final = 2_000
_LONG: Final = re.compile(rf"[^\n]{{{LINE_SHOWN},}}")


def log_tails(
    home: Path, task_id: str, iterations: Sequence[int], redact: Callable[[str], str]
) -> tuple[list[LogReport], int]:
    """The logs of the iterations, those that were written last first, and how many others there
    are. Every text is redacted before it is cut: a secret that a cut divides would not be
    recognised."""
    logs: list[LogReport] = []
    left, count = LOGS_BYTES, 0
    for iteration, path in _paths(home, task_id, iterations):
        count += 1
        if left < LOG_BYTES:
            continue
        with suppress(EnvironmentFault):
            log = _read(iteration, path, redact)
            if log.text.strip():
                logs.append(log)
                left -= len(log.text.encode(errors="replace"))
            else:
                count -= 1
    return logs, count - len(logs)


def _paths(home: Path, task_id: str, iterations: Sequence[int]) -> Iterator[tuple[int, Path]]:
    """Every log with its iteration, the newest iteration first and in it the newest log."""
    for number in sorted(iterations, reverse=True):
        folders = TaskFolders(home, task_id, number)
        places = (folders.run / "logs", folders.preparation)
        paths = [path for place in places if place.is_dir() for path in place.glob("*.log")]
        # By name where the time is the same, so that a report is the same when it is made again.
        for path in sorted(paths, key=lambda p: (-p.lstat().st_mtime, p.name)):
            yield number, path


def _read(iteration: int, path: Path, redact: Callable[[str], str]) -> LogReport:
    # Read with what is before it, so that the first line is complete and can be left out.
    data, size = read_tail(path, 2 * LOG_BYTES)
    text = redact(data.decode("utf-8", "replace"))
    text = _LONG.sub(_shortened, text)
    if size > len(data):
        text = text.partition("\n")[2]
    if len(text) > LOG_BYTES:
        text = text[-LOG_BYTES:].partition("\n")[2] or text[-LOG_BYTES:]
    shown = len(text.encode(errors="replace"))
    return LogReport(
        iteration=iteration, step=path.stem, path=str(path), size=size, text=text,
        left_out=max(0, size - shown) if size > LOG_BYTES else 0,
    )  # fmt: skip


def _shortened(match: re.Match[str]) -> str:
    return f"{match[0][:LINE_SHOWN]} [{len(match[0]) - LINE_SHOWN:,} more characters]"
