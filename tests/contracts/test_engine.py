"""What every engine must do, checked on the fake and the real ones (M3)."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.protocol import Engine, SandboxExit, SandboxSpec, SandboxState
from tests.contracts.engine_rigs import Rig, new_task, wait_for


def _launch(rig: Rig, attempt: int = 1, task_id: str | None = None) -> tuple[Engine, SandboxSpec]:
    engine, spec = rig.engine(), rig.spec(task_id or new_task(), attempt)
    engine.prepare(spec, lambda _: None)
    engine.ensure(spec)
    return engine, spec


def _state(engine: Engine, spec: SandboxSpec) -> SandboxState:
    return next((i.state for i in engine.list() if i.name == spec.name), SandboxState.GONE)


def test_it_says_that_it_works(any_rig: Rig) -> None:
    status = any_rig.engine().check()
    assert status.available, status
    assert status.version
    assert status.limits_not_applied is not None


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_runners_exit_code_is_told(rig: Rig, code: int) -> None:
    """A2, L1."""
    engine, spec = _launch(rig)
    rig.finish(spec, code)
    assert engine.follow(spec.name) == SandboxExit(code)
    assert _state(engine, spec) is SandboxState.EXITED


def test_ensuring_again_starts_nothing_while_it_runs_and_after(rig: Rig) -> None:
    """L4: one sandbox per attempt, whatever is repeated after a crash."""
    engine, spec = _launch(rig)
    engine.ensure(spec)
    rig.engine().ensure(spec)
    assert rig.started(spec) == 1
    rig.finish(spec, 0)
    engine.follow(spec.name)
    rig.engine().ensure(spec)
    assert rig.started(spec) == 1
    assert engine.follow(spec.name).code == 0


def test_several_that_ensure_at_once_start_one(rig: Rig) -> None:
    spec = rig.spec(new_task())
    rig.engine().prepare(spec, lambda _: None)
    threads = [threading.Thread(target=rig.engine().ensure, args=(spec,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert rig.started(spec) == 1
    rig.finish(spec, 0)
    assert rig.engine().follow(spec.name).code == 0


def test_a_new_daemon_attaches_to_what_runs(rig: Rig) -> None:
    """L8."""
    _, spec = _launch(rig)
    later = rig.engine()
    assert _state(later, spec) is SandboxState.RUNNING
    told: list[SandboxExit] = []
    follower = threading.Thread(target=lambda: told.append(later.follow(spec.name)))
    follower.start()
    rig.finish(spec, 2)
    follower.join(300)
    assert told == [SandboxExit(2)]


def test_a_killed_runner_is_no_exit_code_of_ours(any_rig: Rig) -> None:
    """L1."""
    engine, spec = _launch(any_rig)
    any_rig.kill(spec)
    assert engine.follow(spec.name).code in (None, 137)
    assert _state(engine, spec) is SandboxState.EXITED


def test_stopping_lets_the_runner_checkpoint(any_rig: Rig) -> None:
    """E1: SIGTERM arrives at the runner, and its exit code at the daemon."""
    engine, spec = _launch(any_rig)
    any_rig.started(spec)
    engine.stop(spec.name, 300)
    assert engine.follow(spec.name).code == 2
    assert any_rig.saw_term(spec)


def test_a_runner_that_ignores_the_stop_is_killed_after_the_grace(rig: Rig) -> None:
    engine, spec = _launch(rig)
    rig.ignore_term(spec)
    engine.stop(spec.name, 0.2)
    assert engine.follow(spec.name).code in (None, 137)
    assert not rig.saw_term(spec)


def test_stopping_what_has_ended_or_never_was_does_nothing(rig: Rig) -> None:
    engine, spec = _launch(rig)
    rig.finish(spec, 0)
    engine.follow(spec.name)
    engine.stop(spec.name, 5)
    engine.stop("rover-000000000000-9", 5)
    assert engine.follow(spec.name).code == 0


def test_what_is_gone_has_ended_and_is_no_fault_of_the_engine(rig: Rig) -> None:
    """L2, L3."""
    engine, spec = _launch(rig)
    rig.started(spec)
    engine.remove(spec.name)
    engine.remove(spec.name)
    assert engine.follow(spec.name).code is None
    assert _state(engine, spec) is SandboxState.GONE
    assert engine.logs(spec.name, 10) == ""
    with pytest.raises(EnvironmentFault) as caught:
        engine.exec(spec.name, ["true"])
    assert caught.value.code == "not_running"


def test_work_and_home_stay_for_the_next_attempt(any_rig: Rig) -> None:
    """I5."""
    engine, first = _launch(any_rig)
    places = ("/workspace", "/home/agent")
    any_rig.started(first)
    for place in places:
        any_rig.write_place(engine, first, place, f"in {place}")
    any_rig.finish(first, 2)
    engine.follow(first.name)
    engine.remove(first.name)
    engine, second = _launch(any_rig, attempt=2, task_id=first.task_id)
    any_rig.started(second)
    for place in places:
        assert any_rig.read_place(engine, second, place) == f"in {place}"


def test_a_removed_task_leaves_no_work_tree(any_rig: Rig) -> None:
    engine, first = _launch(any_rig)
    any_rig.started(first)
    any_rig.write_place(engine, first, "/workspace", "old")
    engine.remove_task(first.task_id)
    engine.remove_task(first.task_id)
    assert _state(engine, first) is SandboxState.GONE
    engine, second = _launch(any_rig, attempt=2, task_id=first.task_id)
    any_rig.started(second)
    assert any_rig.read_place(engine, second, "/workspace") == ""


def test_every_sandbox_of_this_data_folder_is_listed(rig: Rig) -> None:
    engine, one = _launch(rig)
    _, other = _launch(rig)
    rig.finish(one, 0)
    engine.follow(one.name)
    listed = {i.name: i for i in engine.list()}
    assert listed.keys() == {one.name, other.name}
    assert listed[one.name].state is SandboxState.EXITED
    assert listed[other.name].state is SandboxState.RUNNING
    assert listed[other.name].task_id == other.task_id
    assert listed[other.name].attempt == 1
    assert listed[other.name].started_at is not None


def test_what_the_runner_printed_can_be_read(rig: Rig) -> None:
    engine, spec = _launch(rig)
    rig.started(spec)
    # Podman's log is written by another process than the one that started.
    wait_for(lambda: "runner of attempt 1" in engine.logs(spec.name, 10), "the log")
    assert engine.logs(spec.name, 0) == ""


def test_an_unknown_agent_is_missing(rig: Rig) -> None:
    """M1."""
    engine = rig.engine()
    engine.check_agent("scripted", None, None)
    with pytest.raises(EnvironmentFault) as caught:
        engine.check_agent("nobody", None, None)
    assert caught.value.code == "agent_missing"
    assert caught.value.hint


def _ready(rig: Rig, wait: float = 900) -> tuple[Engine, SandboxSpec]:
    """A sandbox that was started ahead of its task, by a daemon that is gone."""
    engine, spec = rig.engine(), rig.spec(new_task())
    engine.prepare(spec, lambda _: None)
    engine.ready(spec, wait)
    return rig.engine(), spec


def test_one_that_was_made_ready_runs_when_its_task_comes(rig: Rig) -> None:
    engine, spec = _ready(rig)
    assert _state(engine, spec) is SandboxState.RUNNING
    engine.ensure(spec)
    engine.ensure(spec)
    assert rig.started(spec) == 1
    rig.finish(spec, 2)
    assert engine.follow(spec.name) == SandboxExit(2)


def test_one_that_was_made_of_something_else_is_made_anew(rig: Rig) -> None:
    """Its limits were fixed when it was started."""
    engine, spec = _ready(rig)
    fewer = replace(spec, limits=replace(spec.limits, file_bytes=2**20))
    engine.ensure(fewer)
    assert rig.started(fewer) == 1
    if rig.isolates:
        assert (spec.folders.run / "most-bytes").read_text() == str(2**20)
    rig.finish(fewer, 0)
    assert engine.follow(spec.name) == SandboxExit(0)


def test_one_that_ended_before_its_task_came_is_made_anew(real_rig: Rig) -> None:
    engine, spec = _ready(real_rig, wait=0.01)
    assert engine.follow(spec.name) == SandboxExit(os.EX_TEMPFAIL)
    engine.ensure(spec)
    assert real_rig.started(spec) == 1
    real_rig.finish(spec, 0)
    assert engine.follow(spec.name) == SandboxExit(0)


def test_one_that_no_task_needs_is_removed(rig: Rig) -> None:
    engine, spec = _ready(rig)
    engine.remove(spec.name)
    engine.remove_task(spec.task_id)
    assert _state(engine, spec) is SandboxState.GONE
    assert not engine.holds_work(spec.task_id)


def test_a_work_tree_goes_and_its_task_stays(rig: Rig) -> None:
    engine, spec = _ready(rig)
    engine.ensure(spec)
    rig.finish(spec, 0)
    engine.follow(spec.name)
    engine.remove(spec.name)
    for _ in range(2):
        engine.drop_work(spec.task_id)
        assert not engine.holds_work(spec.task_id)
    assert spec.folders.run.is_dir()
    engine.remove_task(spec.task_id)
