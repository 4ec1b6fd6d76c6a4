"""Each process of a sandbox is killed once, from the host, with a loop around the step (U9).

Succeeded at 700cc57: inside bubblewrap the kill of a command, of its shell or of the sandbox's
first process looked like an exit status of 137; the loop took it for a failed sub-step, and the
task was COMPLETED with half of the contents.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import docker
import pytest

from agent_runner.journal.journal import FILE_NAME
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.run_state import fold
from agent_runner.models import PauseReason, RunState, RunStatus
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.decide import PauseFor, decide
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import inspect_repository
from rover_mcp.sandbox.attempt_folder import AttemptFolder
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.podman import PodmanEngine
from rover_mcp.sandbox.protocol import Engine, SandboxExit, SandboxSpec, SandboxState
from tests.contracts.engine_rigs import make_spec, new_task, wait_for
from tests.crash.victims import descendants
from tests.integration.git.conftest import git
from tests.support.docker_env import docker_host
from tests.support.podman_env import podman_host

__all__ = ["docker_host", "podman_host"]

WAIT = "sleep 31415.9"
WORKFLOW = f"""\
version: "1.0"
name: looped
steps:
  - id: again
    type: loop
    max_iterations: 2
    until: steps.tick.outputs.stdout == never
    allow_failure: true
    steps:
      - {{id: tick, type: command, command: "echo tick >> log; test -e $HOME/go || {WAIT} || exit; echo tock >> log"}}
  - {{id: sum, type: command, command: "cat log"}}
"""
# More than a sandbox of these tests may use, and no more than a machine has.
HUNGRY = """\
version: "1.0"
name: hungry
steps:
  - id: again
    type: loop
    max_iterations: 2
    allow_failure: true
    steps:
      - {id: build, type: command, command: "head -c 400M /dev/zero | tail && echo built >> log"}
"""
RIGHT = "\n".join(["tick", "tock"] * 2)

ENGINES = [
    "bubblewrap",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
]


@dataclasses.dataclass
class LoopedTask:
    """One task on one engine, attempt by attempt."""

    engine: Engine
    root: Path
    base: str
    first_process: Callable[[str], int]
    task_id: str = dataclasses.field(default_factory=new_task)
    attempt: int = 0

    def start(self, workflow: str = WORKFLOW) -> SandboxSpec:
        self.attempt += 1
        made = make_spec(self.root, self.task_id, self.attempt)
        (made.folders.spec / "workflow.yaml").write_text(workflow)
        spec = dataclasses.replace(
            made,
            run=made.run.model_copy(update={"base_commit": self.base}),
            folders=dataclasses.replace(made.folders, base_objects=self.root / "lent"),
            limits=dataclasses.replace(made.limits, tmp_bytes=2**26, pids=256),
        )
        self.engine.prepare(spec, lambda _: None)
        self.engine.ensure(spec)
        return spec

    def tree(self, spec: SandboxSpec) -> dict[int, str]:
        """The sandbox's processes with their command lines, once its command waits."""
        found: dict[int, str] = {}

        def waits() -> bool:
            # Twice the same, so that none is among them that only came and went.
            before = dict(found)
            found.clear()
            found.update(descendants(self.first_process(spec.name)))
            return found == before and WAIT in found.values()

        wait_for(waits, "the step's command")
        return found

    def has_ended(self, name: str) -> bool:
        states = {info.name: info.state for info in self.engine.list()}
        return states.get(name) is not SandboxState.RUNNING

    def state(self, spec: SandboxSpec) -> RunState:
        return fold(read_journal(spec.folders.run / FILE_NAME).records)


@pytest.fixture(params=ENGINES)
def looped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoopedTask]:
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / "a.txt").write_text("one\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "first")
    base = inspect_repository(repo).head_commit
    hub = Hub(tmp_path / "project")
    hub.update(repo, base)
    hub.lend(repo, base, tmp_path / "lent")
    if request.param == "bubblewrap":
        engine: Engine = BubblewrapEngine(tmp_path)
        first = _runner_of(tmp_path)
    else:
        address = request.getfixturevalue(f"{request.param}_host")
        made = DockerEngine if request.param == "docker" else PodmanEngine
        engine, first = made(tmp_path, address=address), _container_of(address)
    place = LoopedTask(engine, tmp_path, base, first)
    yield place
    engine.remove_task(place.task_id)


def _runner_of(root: Path) -> Callable[[str], int]:
    def pid(name: str) -> int:
        state = AttemptFolder(root / "sandboxes" / name)._read("state.json")
        return int(state.get("runner", [0])[0])

    return pid


def _container_of(address: str) -> Callable[[str], int]:
    def pid(name: str) -> int:
        client = docker.DockerClient(address, timeout=600)
        try:
            return int(client.api.inspect_container(name)["State"]["Pid"])
        finally:
            client.close()

    return pid


def _decided(ended: SandboxExit, state: RunState, attempt: int) -> PauseFor:
    """What the control plane makes of it."""
    now = datetime.now(UTC)
    decision = decide(
        ended, state, attempt=attempt, auto_retries=0, auto_resume=True,
        retry=RetrySettings(), now=now, random=0.5,
    )  # fmt: skip
    assert isinstance(decision, PauseFor), decision
    return decision


def test_a_kill_of_any_process_of_a_sandbox_is_an_interruption(looped: LoopedTask) -> None:
    """U9, L1, L2, D7: every process in turn by SIGKILL, and the command's shell by SIGTERM; the
    task pauses, resumes automatically, and in the end its contents are right."""
    spec = looped.start()
    roles = list(looped.tree(spec).values())
    assert len(roles) >= 4
    kills = [(n, signal.SIGKILL) for n in range(len(roles))]
    shell = next(n for n, words in enumerate(roles) if words.startswith("bash "))
    for number, how in [*kills, (shell, signal.SIGTERM)]:
        pid, words = list(looped.tree(spec).items())[number]
        os.kill(pid, how)
        wait_for(partial(looped.has_ended, spec.name), f"the end, after {how.name} to {words}")
        ended = looped.engine.follow(spec.name)
        said = f"{how.name} to {words}: {ended}"
        state = looped.state(spec)
        assert state.status in (RunStatus.RUNNING, RunStatus.PAUSED), said
        decision = _decided(ended, state, looped.attempt)
        assert decision.pause.reason is PauseReason.INTERRUPTED, said
        assert decision.retry_at is not None, said
        looped.engine.remove(spec.name)
        spec = looped.start()
    looped.tree(spec)
    looped.engine.exec(spec.name, ["sh", "-c", "touch $HOME/go"])
    looped.engine.stop(spec.name, 300)
    looped.engine.remove(spec.name)
    spec = looped.start()
    assert looped.engine.follow(spec.name).code == 0, looped.engine.logs(spec.name, 50)
    steps = {step.id: step for step in looped.state(spec).steps}
    assert steps["sum"].outputs["stdout"] == RIGHT


def test_want_of_memory_is_named_and_no_result(looped: LoopedTask) -> None:
    """U9, L1: with the step, the limit and what raises it. Succeeded at 700cc57: the loop went on
    with what was left of the command."""
    if "memory" in looped.engine.check().limits_not_applied:
        pytest.fail("the engine of this machine must be able to limit memory")
    spec = looped.start(HUNGRY)
    ended = looped.engine.follow(spec.name)
    pause = _decided(ended, looped.state(spec), looped.attempt).pause
    assert pause.reason is PauseReason.INTERRUPTED
    assert pause.message.startswith("step build: a command ran out of memory")
    assert "256 MiB (limits.memory in .rover/config.yaml" in pause.message
