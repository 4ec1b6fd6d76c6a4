"""create_task to the first step, of a project's second and later tasks, beside a bare run.

DESIGN.md section 13: within 1.5 times of a bare `docker run` of the same image. The clock of ours
starts when the tool call is sent and ends at the journal's first `step_start`; that of the bare
run ends when the container's first byte arrives. The sandbox that is kept ready for the next task
is waited for, untimed; what a task costs that finds none ready is shown beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import docker

from benchmarks.tables import Row, interleaved, median_ms, show
from rover_mcp.demo.demo_environment import end_daemon
from rover_mcp.sandbox.image import REPOSITORY
from tests.support.docker_env import docker_engine, remove_sandboxes
from tests.support.frames import LauncherClient
from tests.support.repos import make_repository
from tests.support.scripts import script

ROUNDS = 7
READY_SECONDS = 60.0
ENGINES = ("docker", "bubblewrap")


def until_ready(home: Path, engine: str) -> None:
    """Wait until a sandbox of this engine is kept ready."""
    end, markers = time.monotonic() + READY_SECONDS, home / "spares"
    while not markers.is_dir() or engine not in [m.read_text() for m in markers.iterdir()]:
        assert time.monotonic() < end, f"no {engine} sandbox was made ready"
        time.sleep(0.05)
    # Its marker is written before it is made.
    time.sleep(1)


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


def second_task(client: LauncherClient, engine: str) -> float:
    """As `first_step`, once the sandbox for it is ready."""
    until_ready(client.home, engine)
    return first_step(client, engine)


def bare_docker(address: str, image: str) -> float:
    """Seconds until `docker run` of the image prints its first byte."""
    argv = ["docker", "-H", address, "run", "--rm", "--network", "none", image, "echo", "x"]
    begin = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        return time.perf_counter() - begin


@contextmanager
def daemon(folder: Path, address: str, ready: int) -> Generator[LauncherClient]:
    """A data folder's daemon that keeps as many sandboxes ready, after a first task of each
    engine, which makes the image and the hub."""
    home = folder / "home"
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"spare_sandboxes: {ready}\n")
    repository = make_repository(folder / "repo")
    with closing(LauncherClient(home, repository, {"DOCKER_HOST": address})) as client:
        client.open()
        for engine in ENGINES:
            first_step(client, engine)
        yield client
    end_daemon(home)
    remove_sandboxes(home, address)


def sandbox_image(address: str) -> str:
    """The image of the sandboxes that were made last."""
    with closing(docker.DockerClient(base_url=address)) as client:
        images = client.images.list(REPOSITORY)
        return max(images, key=lambda image: image.attrs["Created"]).tags[0]


def main() -> None:
    """Print the section of the table."""
    folder = Path(tempfile.mkdtemp(prefix="rover-bench-"))
    with (
        docker_engine() as address,
        daemon(folder / "ready", address, len(ENGINES)) as ready,
        daemon(folder / "none", address, 0) as none,
    ):
        image = sandbox_image(address)
        times = interleaved(
            {
                "bare": lambda: bare_docker(address, image),
                **{e: lambda e=e: second_task(ready, e) for e in ENGINES},
                **{f"{e}, none ready": lambda e=e: first_step(none, e) for e in ENGINES},
            },
            ROUNDS,
        )
    shutil.rmtree(folder)
    bare = median_ms(times.pop("bare"))
    rows = [Row("docker run of the same image, to its first byte", bare)]
    for what, seconds in times.items():
        ours = median_ms(seconds)
        goal = "1.5" if what in ENGINES else ""
        rows.append(Row(f"create_task to step 1, {what}", ours, "docker run", ours / bare, goal))
    show(f"create_task to the first step, second task (median of {ROUNDS}, interleaved)", rows)


if __name__ == "__main__":
    main()
