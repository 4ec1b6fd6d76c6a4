"""One step of a loop of 10,000, at its start and near its end, and going on at step 9,999.

Within 1.2 times, and under one second. A round runs some steps of each loop, in turn: a new
attempt goes on where the last one was stopped, and the time from one step's end to the next is
taken. What 9,900 steps leave behind (records, snapshots, bundles) is made without running them.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.journal.journal import FILE_NAME, Journal
from agent_runner.journal.record_lines import RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import Snapshot
from agent_runner.run.attempt import PauseRequest
from agent_runner.run.resume_plan import make_plan
from agent_runner.workflow.loader import parse_workflow
from benchmarks.tables import Row, interleaved, median_ms, show
from tests.support.runs import GIT, RunFolders, git

LOOP = 10_000
BEFORE = 9_900
ROUNDS = 7
STEPS = 8
OUTPUTS = {"stdout": "", "stderr": "", "exit_code": "0", "success": "true"}

WORKFLOW = """
version: "1.0"
name: long
steps:
  - id: loop
    type: loop
    max_iterations: {loop}
    steps: [{{id: step, type: command, command: "{command}"}}]
"""
COMMANDS = {"changes nothing": "true", "changes a file": "date +%s%N > file"}


def now() -> datetime:
    return datetime.now(UTC)


def run_steps(place: RunFolders, count: int) -> float:
    """Run so many steps and one more; the median of seconds from end to end."""
    ends: list[float] = []
    stop = PauseRequest()

    def write(fd: int, data: bytes, offset: int) -> int:
        if b'"type":"step_complete"' in data:
            ends.append(time.perf_counter())
            if len(ends) > count:
                stop.request()
        return os.pwrite(fd, data, offset)

    place.start(stop=stop, journal_write=write)
    return statistics.median(late - early for early, late in itertools.pairwise(ends))


def snapshots(place: RunFolders, last: int) -> Iterator[Snapshot]:
    """Snapshots 2 to `last`, as a run leaves them: objects and names loose, a bundle for each."""
    stream: list[str] = []
    for number in range(2, last + 1):
        parent = f":{number - 1}" if number > 2 else "refs/rover/snapshots/1"
        stream.append(
            f"commit refs/rover/snapshots/{number}\nmark :{number}\n"
            f"committer A <a@example.invalid> {number} +0000\ndata 0\n"
            f"from {place.base_commit}\nmerge {parent}\n"
            f"M 100644 inline file\ndata <<E\n{number}\nE\n"
        )
    fast = ["git", "fast-import", "--quiet"]
    subprocess.run(fast, input="".join(stream).encode(), cwd=place.work, env=GIT, check=True)
    for pack in (place.work / ".git/objects/pack").glob("*.pack"):
        apart = pack.rename(place.root / pack.name)
        pack.with_suffix(".idx").unlink()
        loose = ["git", "unpack-objects", "-q"]
        with apart.open("rb") as file:
            subprocess.run(loose, stdin=file, cwd=place.work, env=GIT, check=True)
    shape = "--format=%(refname:lstrip=3) %(objectname) %(tree)"
    names = git(place.work, "for-each-ref", shape, "refs/rover/snapshots")
    found = {int(n): (commit, tree) for n, commit, tree in map(str.split, names.splitlines())}
    head = place.base_commit
    for number in range(2, last + 1):
        bundle = f"{number:06}.bundle"
        (place.run_folder / "bundles" / bundle).touch()
        commit, tree = found[number]
        yield Snapshot(sequence=number, commit=commit, tree=tree, bundle=bundle, head=head)


def add_steps(
    journal: Journal, found: RunStateFold, last: int, taken: Iterator[Snapshot] | None
) -> None:
    """The records of the iterations that follow, up to `last`."""
    snapshot = found.live.snapshot
    for n in range((found.step("loop").iteration or 0) + 1, last + 1):
        place = {"step": "step", "loop": [{"step": "loop", "iteration": n, "index": 0}]}
        snapshot = next(taken) if taken else snapshot
        kept = snapshot.model_dump(mode="json") if snapshot else None
        done = {**place, "outputs": OUTPUTS, "detail": "exit status 0", "snapshot": kept}
        for kind, data in (
            (RecordType.LOOP_ITERATION, {"step": "loop", "iteration": n}),
            (RecordType.STEP_START, place),
            (RecordType.STEP_COMPLETE, done),
        ):
            journal.append(kind, data)


def place_at(folder: Path, command: str, steps: int) -> RunFolders:
    """A task whose loop has run one step, and stands behind so many."""
    place = RunFolders(folder, WORKFLOW.format(loop=LOOP, command=command))
    stop = PauseRequest()

    def write(fd: int, data: bytes, offset: int) -> int:
        if b'"type":"step_complete"' in data:
            stop.request()
        return os.pwrite(fd, data, offset)

    place.start(stop=stop, journal_write=write)
    if steps > 1:
        taken = snapshots(place, steps) if "file" in command else None
        with_steps(place, steps, taken)
    return place


def with_steps(place: RunFolders, steps: int, taken: Iterator[Snapshot] | None) -> None:
    journal = Journal.open(place.run_folder / FILE_NAME, now)
    found = journal.recovered.fold()
    add_steps(journal, found, steps, taken)
    journal.close()


def main() -> None:
    """Print the section of the table."""
    with tempfile.TemporaryDirectory(prefix="rover-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        rows: list[Row] = []
        for what, command in COMMANDS.items():
            early = place_at(folder / "early" / what.replace(" ", "-"), command, 1)
            late = place_at(folder / "late" / what.replace(" ", "-"), command, BEFORE)
            subjects = {
                "early": lambda place=early: run_steps(place, STEPS),
                "late": lambda place=late: run_steps(place, STEPS),
            }
            times = {k: median_ms(v) for k, v in interleaved(subjects, ROUNDS).items()}
            rows.append(Row(f"a step that {what}, at the start", times["early"]))
            ratio = times["late"] / times["early"]
            title = f"the same behind {BEFORE:,} steps"
            rows.append(Row(title, times["late"], "at the start", ratio, "1.2"))
        rows.append(resume_row(folder))
    show(f"A loop of {LOOP:,} steps (median of {ROUNDS} rounds of {STEPS})", rows)


def resume_row(folder: Path) -> Row:
    place = place_at(folder / "resume", "true", LOOP - 1)
    workflow = parse_workflow(place.workflow, "w")
    path = place.run_folder / FILE_NAME

    def plan() -> float:
        begin = time.process_time()
        journal = Journal.open(path, now)
        make_plan(journal.recovered.fold(), workflow, place.spec(attempt=2))
        journal.close()
        return time.process_time() - begin

    times = median_ms([plan() for _ in range(ROUNDS)])
    size = path.stat().st_size / 1e6
    what = f"read, fold and plan {LOOP - 1:,} steps, {size:.0f} MB (processor time)"
    return Row(what, times, goal="1,000 ms")


if __name__ == "__main__":
    main()
