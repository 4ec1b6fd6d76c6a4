"""What a kill -9 does: nothing is lost, nothing runs twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, kill, processes_with, runners, wait_until
from tests.support.docker_env import docker_client
from tests.support.frames import Frame, LauncherClient, StartingClient
from tests.support.gates import GATE, open_gate, open_gate_in_container
from tests.support.repos import FIXED, git
from tests.support.scripts import script

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]


DONE = {
    "say": "done", "outputs": {"summary": "s"}, "edits": [{"path": "calc.py", "content": FIXED}]
}  # fmt: skip
GATED = [{**DONE, "run": GATE}]
NEVER = [{"delay": 3600}]


def asleep(client: LauncherClient, engine: str = "bubblewrap") -> Frame:
    """A task whose step `implement` sleeps in its first try, however long it takes until that is
    killed, and in no other."""
    seconds = f"3600.{uuid4().int % 10**9}"
    run = f"test -e .git/tried || {{ touch .git/tried; sleep {seconds}; }}"
    task = start(client, [{**DONE, "run": run}], engine)
    wait_until(lambda: processes_with(seconds), "it sleeps")
    return task


def start(
    client: LauncherClient, implement: Sequence[Frame] = GATED, engine: str = "bubblewrap"
) -> Frame:
    """A task whose step `implement` is running, until it is let go on."""
    plan = [{"say": "planned", "outputs": {"plan": "p"}}]
    task = client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted",
        engine=engine, script=script(plan=plan, implement=list(implement)),
    )["task"]  # fmt: skip
    wait_until(lambda: _running(client, task, "implement"), "implement runs")
    return task


def _running(client: LauncherClient, task: Frame, step: str) -> bool:
    steps = client.tool("inspect", task=task["id"])["task"].get("steps") or []
    return any(s["id"] == step and s["status"] == "running" for s in steps)


def completed(client: LauncherClient, task: Frame) -> Counter[str]:
    """How often each step was finished, by the journal."""
    path = client.home / "tasks" / task["id"] / "iterations" / "1" / "run" / "journal.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return Counter(r["data"]["step"] for r in records if r["type"] == "step_complete")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sandbox_survives_its_daemon_and_the_next_one_attaches(
    client: LauncherClient, repository: Path, engine: str
) -> None:
    """C8, L8: the launcher that was connected goes on, the task completes once."""
    task = start(client, engine=engine)
    before = daemon_pid(client.home)
    kill(before)
    wait_until(lambda: not is_alive(before), "the daemon is dead")
    if engine == "docker":
        open_gate_in_container(task["id"])
    else:
        open_gate(client.home, task["id"])
    done = client.wait_until(task["id"], "COMPLETED")
    assert done["attempt"] == 1
    assert daemon_pid(client.home) != before
    assert completed(client, task) == {"plan": 1, "implement": 1, "test": 1}
    assert git(repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()


def test_a_task_goes_on_after_the_daemon_died_with_no_client_connected(
    home: Path, repository: Path
) -> None:
    """L8: any later client's start attaches to it."""
    with StartingClient(home, repository) as first:
        first.open()
        task = start(first)
        # The launcher first: it would start another daemon at once.
        kill(first.process.pid)
        first.process.wait()
        kill(daemon_pid(home))
    with StartingClient(home, repository) as second:
        second.open()
        open_gate(home, task["id"])
        done = second.wait_until(task["id"], "COMPLETED")
        assert done["attempt"] == 1
        assert completed(second, task) == {"plan": 1, "implement": 1, "test": 1}


def test_killing_the_runner_goes_on_from_the_checkpoint_once(
    client: LauncherClient, repository: Path
) -> None:
    """L1, L2: interrupted, then on by itself; finished steps are not run again."""
    task = asleep(client)
    kill(runner_of(client, task))
    wait_until(
        lambda: client.tool("inspect", task=task["id"])["task"]["attempt"] == 2, "a second attempt"
    )
    done = client.wait_until(task["id"], "COMPLETED")
    assert done["attempt"] == 2
    assert completed(client, task) == {"plan": 1, "implement": 1, "test": 1}
    kinds = [e["event"] for e in client.tool("inspect", task=task["id"], detail="full")["events"]]
    assert kinds.count("task.paused") == 1
    assert kinds.count("task.resumed") == 1
    assert git(repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()


def runner_of(client: LauncherClient, task: Frame) -> int:
    """The runner itself: neither what supervises it nor a child that it has forked and that has not
    yet become another program."""
    found = {pid: parent_of(pid) for pid in runners(client.home, task["id"]) if is_runner(pid)}
    (runner,) = [pid for pid, parent in found.items() if parent not in found]
    return runner


def is_runner(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return "agent_runner\0run" in Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return False


def parent_of(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


@pytest.mark.docker
def test_killing_the_container_goes_on_from_the_checkpoint_once(
    client: LauncherClient, repository: Path
) -> None:
    """L1, L2 on Docker: the volume with the work tree outlives the container."""
    task = asleep(client, "docker")
    with closing(docker_client()) as engine:
        engine.containers.get(f"rover-{task['id'][:12]}-1").kill()
    done = client.wait_until(task["id"], "COMPLETED") if _second(client, task) else {}
    assert done["attempt"] == 2
    assert completed(client, task) == {"plan": 1, "implement": 1, "test": 1}
    assert git(repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()


def _second(client: LauncherClient, task: Frame) -> bool:
    wait_until(
        lambda: client.tool("inspect", task=task["id"])["task"]["attempt"] == 2, "a second attempt"
    )
    return True


@pytest.mark.parametrize("engine", ENGINES)
def test_a_task_is_paused_on_request_and_goes_on(client: LauncherClient, engine: str) -> None:
    """E1, D8: SIGTERM reaches the runner, which checkpoints; a person's pause never ends itself."""
    task = start(client, NEVER, engine)
    client.tool("pause_task", task=task["id"])
    paused = client.wait_until(task["id"], "PAUSED")
    assert paused["pause"]["reason"] == "requested"
    assert paused["pause"]["auto_resume"] is False
    assert completed(client, task) == {"plan": 1}
    client.tool("cancel_task", task=task["id"])
    assert client.tool("inspect", task=task["id"])["task"]["status"] == "CANCELLED"


def test_a_cancelled_task_ends_its_sandbox(client: LauncherClient) -> None:
    task = start(client, NEVER)
    view = client.tool("cancel_task", task=task["id"])["task"]
    assert view["status"] == "CANCELLED"
    wait_until(lambda: not runners(client.home, task["id"]), "no runner is left")
    assert client.tool("inspect", task=task["id"])["task"]["status"] == "CANCELLED"
