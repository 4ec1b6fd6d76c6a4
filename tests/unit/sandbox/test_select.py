"""The first engine that works, and why the others do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.engines import engines, select_engine
from rover_mcp.sandbox.process_engine import ProcessEngine
from rover_mcp.sandbox.protocol import EngineStatus
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState


def _fake(name: str, works: bool = True) -> FakeEngine:
    world = FakeEngineState()
    if not works:
        world.unreachable()
    return FakeEngine(world, name)


class AnsweringDocker(DockerEngine):
    """A docker engine that answers, with or without its base image."""

    present = False

    def check(self) -> EngineStatus:
        return EngineStatus("docker", True, version="1")

    def base_image_present(self) -> bool:
        return self.present


def test_the_first_that_works_is_taken() -> None:
    found = {"a": _fake("a", works=False), "b": _fake("b"), "c": _fake("c")}
    assert select_engine(found).name == "b"
    assert select_engine(found, "c").name == "c"


def test_where_none_works_each_is_named_with_its_reason_and_remedy() -> None:
    with pytest.raises(EnvironmentFault, match=r"a: .*cannot be reached; b: ") as caught:
        select_engine({"a": _fake("a", works=False), "b": _fake("b", works=False)})
    assert caught.value.code == "no_engine"
    assert caught.value.hint == "a: start it; b: start it"


def test_one_that_was_asked_for_is_not_replaced_by_another() -> None:
    with pytest.raises(EnvironmentFault) as caught:
        select_engine({"a": _fake("a", works=False), "b": _fake("b")}, "a")
    assert "b: " not in caught.value.message
    assert str(caught.value.hint).startswith("b works here; a: ")
    assert caught.value.instead == {"engine": "b"}


def test_an_unknown_engine_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(UserFixable) as caught:
        select_engine({"a": _fake("a")}, "swarm")
    assert caught.value.hint == "engines: auto, a"


def test_docker_without_its_base_image_is_passed_over_unless_asked_for(tmp_path: Path) -> None:
    docker = AnsweringDocker(tmp_path)
    found = {"docker": docker, "bubblewrap": _fake("bubblewrap")}
    assert select_engine(found).name == "bubblewrap"
    assert select_engine(found, "docker") is docker
    docker.present = True
    assert select_engine(found) is docker
    docker.present = False
    with pytest.raises(EnvironmentFault, match="debian:bookworm-slim is not here") as caught:
        select_engine({"docker": docker})
    assert "docker pull" in (caught.value.hint or "")


def test_docker_is_preferred_and_takes_the_settings_image(tmp_path: Path) -> None:
    found = engines(tmp_path, Settings(home=tmp_path, base_image="mine:1"))
    assert list(found) == ["docker", "podman", "bubblewrap", "process"]
    for name in ("docker", "podman"):
        engine = found[name]
        assert isinstance(engine, DockerEngine)
        assert engine.base_image == "mine:1"


def test_the_engine_without_isolation_is_taken_by_name_only(tmp_path: Path) -> None:
    found = {"a": _fake("a", works=False), "process": ProcessEngine(tmp_path)}
    with pytest.raises(EnvironmentFault) as caught:
        select_engine(found)
    assert "process" not in caught.value.message
    assert select_engine(found, "process").warning.startswith("NO ISOLATION")
