"""`python -m tests.crash [--runs N] [--first SEED]`: hundreds of runs under random kill -9.

Prints each run and the figures, and writes them into docs/reliability.md. Ends with 1 if one run
lost, repeated or changed anything; its journal is kept.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.scene import STEP_RUNS, CrashScenario, TrialResult, open_scene
from tests.support.docker_env import docker_engine

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures of make crash -->", "<!-- end of the figures -->"
RUNS = 200
AT_ONCE = 2
IN_ONE_FOLDER = 10
"""Runs after which a worker begins anew, with another data folder and daemon."""
DOCKER_EVERY = 7


@dataclass
class CrashStatistics:
    """What came of it."""

    tried: list[TrialResult] = field(default_factory=list[TrialResult])
    failed: list[str] = field(default_factory=list[str])

    def lines(self, seconds: float) -> Iterator[str]:
        """For people: rows of a table."""
        kills: Counter[str] = Counter()
        for one in self.tried:
            kills += one.watch.kills
        engines = Counter(one.engine for one in self.tried)
        repeats = sum(one.outcome.repeats for one in self.tried)
        steps = sum(one.outcome.steps for one in self.tried)
        attempts = sum(len(one.outcome.in_flight) for one in self.tried)
        recovery = max((one.watch.longest_recovery for one in self.tried), default=0.0)
        idle = max((one.watch.longest_idle for one in self.tried), default=0.0)
        yield "| figure | value |"
        yield "|---|---|"
        yield f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {seconds / 60:.0f} minutes |"
        yield f"| machine | {machine()} |"
        yield f"| runs | {_counted(engines)}, {STEP_RUNS} step runs each, {AT_ONCE} at once |"
        yield f"| kills | {_counted(kills)} |"
        yield f"| attempts | {attempts} |"
        yield f"| step runs | {steps:,} finished, each once; {repeats} repeated, being in flight |"
        yield f"| resumed by hand | {sum(one.watch.resumes for one in self.tried)} |"
        yield f"| longest recovery | {recovery:.1f} s, from a kill to the journal's next record |"
        yield f"| longest shown as running with nothing running | {idle:.1f} s |"
        yield f"| failed runs | {_listed(self.failed)} |"


def _listed(failed: Sequence[str]) -> str:
    return f"{len(failed)} ({', '.join(failed)})" if failed else "0"


def _counted(counter: Counter[str]) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
    return f"{counter.total()} ({parts})"


def machine() -> str:
    """What this runs on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def work(seeds: Sequence[int], figures: CrashStatistics, kept: Path) -> None:
    """Runs one after the other, in a few data folders."""
    for first in range(0, len(seeds), IN_ONE_FOLDER):
        with open_scene() as scene:
            for seed in seeds[first : first + IN_ONE_FOLDER]:
                _one(scene, seed, figures, kept)


def _one(scene: CrashScenario, seed: int, figures: CrashStatistics, kept: Path) -> None:
    engine = "docker" if seed % DOCKER_EVERY == 0 else "bubblewrap"
    try:
        tried = scene.try_hard(seed, engine)
    except Exception:  # noqa: BLE001 - whatever it is, it is a failure to be told of
        figures.failed.append(f"seed {seed}")
        print(f"seed {seed} {engine} FAILED, kept in {kept}\n{traceback.format_exc()}", flush=True)
        shutil.copytree(
            scene.client.home, kept / str(seed), dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.sock", "sock*", "objects", "gateway", "orders"),
        )  # fmt: skip
        return
    figures.tried.append(tried)
    print(
        f"seed {seed} {engine} {tried.seconds:.1f} s, kills {dict(tried.watch.kills)}, "
        f"repeats {tried.outcome.repeats}, recovery {tried.watch.longest_recovery:.1f} s",
        flush=True,
    )


def write_page(page: Path, lines: Sequence[str], markers: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between the markers.

    Raises:
        ValueError: the page has not each of them once; it stays as it is.
    """
    text = page.read_text("utf-8")
    for marker in markers:
        if text.count(marker) != 1:
            raise ValueError(f"{page} has {marker!r} {text.count(marker)} times, and not once")
    before, _, rest = text.partition(markers[0])
    after = rest.partition(markers[1])[2]
    page.write_text("\n".join([before + markers[0], "", *lines, "", markers[1] + after]), "utf-8")


def main() -> int:
    """Run it all; 1 where a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--first", type=int, default=1, help="the first run's seed")
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.runs)
    figures, kept = CrashStatistics(), Path(tempfile.mkdtemp(prefix="rover-crash-kept-"))
    began = datetime.now(UTC)
    with ExitStack() as stack:
        os.environ["DOCKER_HOST"] = stack.enter_context(docker_engine())
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        for done in [pool.submit(work, seeds[n::AT_ONCE], figures, kept) for n in range(AT_ONCE)]:
            done.result()
    lines = list(figures.lines((datetime.now(UTC) - began).total_seconds()))
    print("\n".join(lines))
    write_page(asked.page, lines)
    return 1 if figures.failed else 0


if __name__ == "__main__":
    sys.exit(main())
