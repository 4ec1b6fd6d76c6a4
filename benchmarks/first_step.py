"""create_task to the first step, beside a bare run of the same sandbox engine.

DESIGN.md section 13: within 1.5 times of a bare `docker run` (issue 4 holds it to that for the
second task of a project; here it is measured). The clock of ours starts when the tool call is
sent and ends at the journal's first `step_start`; that of the bare run ends when the container's
first byte arrives.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from benchmarks.tables import Row, interleaved, median_ms, show
from rover_mcp.demo.stage import end_daemon
from tests.support.docker_env import BASE_IMAGE, docker_engine, remove_sandboxes
from tests.support.frames import LauncherClient
from tests.support.repos import make_repository
from tests.support.scripts import script

ROUNDS = 7


def first_step(client: LauncherClient, engine: str) -> float:
    """Seconds from the call to the first step, of a task that is waited for."""
    begin = time.time()
    task = client.tool(
        "create_task", description="bench", workflow="quick", agent="scripted",
        engine=engine, script=script(implement=[{"say": "done"}]),
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "COMPLETED")
    journal = client.home / "tasks" / task["id"] / "iterations" / "1" / "run" / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    step = next(r for r in records if r["type"] == "step_start")
    return datetime.fromisoformat(step["at"]).timestamp() - begin


def bare_docker(address: str) -> float:
    """Seconds until `docker run` of the base image prints its first byte."""
    argv = ["docker", "-H", address, "run", "--rm", "--network", "none", BASE_IMAGE, "echo", "x"]
    begin = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        return time.perf_counter() - begin


def main() -> None:
    """Print the section of the table."""
    folder = Path(tempfile.mkdtemp(prefix="rover-bench-"))
    home, repository = folder / "home", make_repository(folder / "repo")
    with docker_engine() as address:
        env = {"DOCKER_HOST": address}
        with closing(LauncherClient(home, repository, env)) as client:
            client.open()
            for engine in ("docker", "bubblewrap"):
                first_step(client, engine)  # makes the image and the hub
            times = interleaved(
                {
                    "bare": lambda: bare_docker(address),
                    "docker": lambda: first_step(client, "docker"),
                    "bubblewrap": lambda: first_step(client, "bubblewrap"),
                },
                ROUNDS,
            )
        end_daemon(home)
        remove_sandboxes(home, address)
    shutil.rmtree(folder)
    bare = median_ms(times["bare"])
    rows = [Row("docker run of the base image, to its first byte", bare)]
    for engine in ("docker", "bubblewrap"):
        ours = median_ms(times[engine])
        rows.append(Row(f"create_task to step 1, {engine}", ours, "docker run", ours / bare))
    show(f"create_task to the first step (median of {ROUNDS}, interleaved)", rows)


if __name__ == "__main__":
    main()
