"""A repository of 57,000 files: create_task to the first step, and what a step's end costs.

The first within 1.2 times of `git worktree add`, the second within 1.5 times of
`git add -A && git write-tree` in the same tree and the same sandbox. A step's end is everything
from the last thing that its command does until the next step begins: the snapshot, its bundle and
the records, flushed. All in bubblewrap, in turn. What was written is flushed to the disk, untimed,
before each measurement, so that no round pays for the one before.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.first_step import until_ready
from benchmarks.tables import Row, interleaved, median_ms, show
from rover_mcp.demo.demo_environment import end_daemon
from tests.support.frames import LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

FILES = 57_000
PER_FOLDER = 14
WAIT = 900.0
ROUNDS = 7
ENGINE = "bubblewrap"
STEPS = """
version: "1.0"
name: steps
steps:
  - id: loop
    type: loop
    max_iterations: 9
    steps:
      - {id: ours, type: command, command: "date +%s%N | tee $(git ls-files | head -n 1)"}
      - id: plain
        type: command
        command: |
          export GIT_INDEX_FILE=.git/plain-index
          [ -f $GIT_INDEX_FILE ] || cp -p .git/index $GIT_INDEX_FILE
          date +%s%N > $(git ls-files | head -n 1)
          begin=$(date +%s%N)
          git add -A && git write-tree >/dev/null
          echo $(($(date +%s%N) - begin))
"""
WORDS = ("alpha", "beta", "return", "struct", "int", "value", "node", "list", "index", "size")


def contents() -> Iterator[tuple[str, str]]:
    """Paths and texts as in the source of a large project, always the same."""
    chance = random.Random(57)
    for number in range(FILES):
        if number % PER_FOLDER == 0:
            place = f"{chance.choice(WORDS)}/{chance.choice(WORDS)}{number % 97}/part{number}"
        lines = range(2 + int(chance.expovariate(1 / 60)))
        text = "".join(f"{' '.join(chance.choices(WORDS, k=8))} {n}\n" for n in lines)
        yield f"{place}/file{number}.c", text


def large_repository(folder: Path) -> Path:
    """A repository of one commit, packed, with its checkout."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    head = "commit refs/heads/main\ncommitter A <a@example.invalid> 1 +0000\ndata 1\nA\n"
    with subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=folder, stdin=subprocess.PIPE
    ) as importing:
        assert importing.stdin is not None
        importing.stdin.write(head.encode())
        for path, text in contents():
            entry = f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
            importing.stdin.write(entry.encode())
    git(folder, "reset", "-q", "--hard")
    git(folder, "gc", "-q")
    return folder


def journal(client: LauncherClient, **call: Any) -> list[dict[str, Any]]:
    """The records of a task that is waited for."""
    task = client.tool("create_task", description="bench", engine=ENGINE, **call)["task"]
    client.wait_until(task["id"], "COMPLETED", timeout=WAIT)
    path = client.home / "tasks" / task["id"] / "iterations" / "1" / "run" / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()


def first_step(client: LauncherClient) -> float:
    """Seconds from the call to the first step."""
    os.sync()
    begin = time.time()
    steps = script(implement=[{"say": "done"}])
    records = journal(client, workflow="quick", agent="scripted", script=steps)
    return at(next(r for r in records if r["type"] == "step_start")) - begin


def second_task(client: LauncherClient) -> float:
    """As `first_step`, once the sandbox for it is ready."""
    until_ready(client.home, ENGINE)
    return first_step(client)


def worktree_add(repository: Path, places: Iterator[Path]) -> float:
    place = next(places)
    os.sync()
    begin = time.perf_counter()
    git(repository, "worktree", "add", "-q", "--detach", str(place))
    return time.perf_counter() - begin


def step_ends(client: LauncherClient) -> dict[str, list[float]]:
    """Seconds of the ends of steps, and of plain git in between."""
    (client.home / "workflows").mkdir()
    (client.home / "workflows" / "steps.yaml").write_text(STEPS)
    records = journal(client, workflow="steps", agent="scripted")
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for record, following in itertools.pairwise(records):
        if record["type"] == "step_complete" and record["data"]["step"] in times:
            number = int(record["data"]["outputs"]["stdout"])
            ours = record["data"]["step"] == "ours"
            seconds = at(following) - number / 1e9 if ours else number / 1e9
            times[record["data"]["step"]].append(seconds)
    # In the first round nothing is cached yet.
    return {name: found[1:] for name, found in times.items()}


def compared(title: str, plain: str, ours: str, times: dict[str, list[float]], goal: str) -> None:
    base, own = median_ms(times["plain"]), median_ms(times["ours"])
    rounds = len(times["ours"])
    show(
        f"{title} (median of {rounds}, interleaved)",
        [Row(plain, base), Row(ours, own, plain.split(",", maxsplit=1)[0], own / base, goal)],
    )


def main() -> None:
    """Print the two sections of the table."""
    folder = Path(tempfile.mkdtemp(prefix="rover-bench-"))
    repository, home = large_repository(folder / "repo"), folder / "home"
    places = (folder / f"tree{n}" for n in itertools.count())
    home.mkdir()
    try:
        with closing(LauncherClient(home, repository)) as client:
            client.open()
            first = first_step(client)
            subjects: dict[str, Callable[[], float]] = {
                "plain": lambda: worktree_add(repository, places),
                "ours": lambda: second_task(client),
            }
            starts = interleaved(subjects, ROUNDS)
            ends = step_ends(client)
    finally:
        end_daemon(home)
        shutil.rmtree(folder)
    title = f"create_task to the first step, {FILES:,} files"
    compared(title, "git worktree add", "create_task to step 1", starts, "1.2")
    print(f"  the first task of the project, which also packs its base: {first:.1f} s")
    title = f"A step that changes one of {FILES:,} files"
    compared(title, "git add -A && git write-tree", "a step's end", ends, "1.5")


if __name__ == "__main__":
    main()
