"""What benchmarks share: interleaved timing, medians, one table. Times in milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is against the row that `against` names."""

    what: str
    milliseconds: float
    against: str = ""
    ratio: float | None = None
    goal: str = ""


def interleaved(subjects: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run the subjects in turn, so that a busy moment of the machine hits all of them.

    Each returns seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            times[name].append(subject())
    return times


def timed(action: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin

    return run


def median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def show(title: str, rows: list[Row]) -> None:
    """Print a section of the table."""
    print(f"\n{title}")
    width = max(len(row.what) for row in rows)
    for row in rows:
        number = (
            f"{row.milliseconds:>10.3f}" if row.milliseconds < 10 else f"{row.milliseconds:>10.1f}"
        )
        ratio = f"  {row.ratio:6.2f} x {row.against}" if row.ratio is not None else ""
        goal = f"  (goal: {row.goal})" if row.goal else ""
        print(f"  {row.what:<{width}} {number} ms{ratio}{goal}")
