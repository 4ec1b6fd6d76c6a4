"""How a container is closed and bounded, and how an engine is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import containers, docker, docker_api
from rover_mcp.sandbox.protocol import SandboxState
from tests.contracts.engine_rigs import make_spec


def test_a_container_gets_no_network_no_privilege_and_every_limit(tmp_path: Path) -> None:
    options = containers.container_options(make_spec(tmp_path, "0" * 32))
    assert options["network_mode"] == "none"
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges"]
    assert options["init"] is True
    assert options["memswap_limit"] == options["mem_limit"] == 256 * 1024**2
    assert options["pids_limit"] == 64
    assert "privileged" not in options
    assert not any("KEY" in name for name in options["environment"])


def test_the_runner_keeps_only_what_it_needs() -> None:
    assert {"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "DAC_READ_SEARCH"}.isdisjoint(
        containers.RUNNER_CAPABILITIES
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"OperatingSystem": "Docker Desktop", "OSType": "linux"},
        {"OperatingSystem": "Windows", "OSType": "windows"},
    ],
)
def test_an_engine_that_cannot_mount_a_socket_is_refused(facts: dict[str, str]) -> None:
    status = containers.judge("docker", facts)
    assert not status.available
    assert status.hint


def test_the_folder_of_an_engines_data_is_read_from_its_facts(tmp_path: Path) -> None:
    there = str(tmp_path)
    assert containers.data_folders({"DockerRootDir": there}) == [tmp_path]
    assert containers.data_folders({"store": {"graphRoot": there}}) == [tmp_path]
    assert containers.data_folders({"DockerRootDir": f"{there}/of-another-machine"}) == []
    assert containers.data_folders({}) == []


def test_a_limit_that_the_engine_cannot_apply_is_named() -> None:
    facts = {"OSType": "linux", "MemoryLimit": False, "PidsLimit": True, "ServerVersion": "1"}
    assert containers.judge("docker", facts).limits_not_applied == ("memory",)


def test_a_created_container_counts_as_running() -> None:
    """L4."""
    for state in ("created", "running", "restarting", "paused"):
        facts = {"Names": ["/n"], "Labels": {}, "State": state, "Created": 1}
        assert containers.info(facts).state is SandboxState.RUNNING
    for state in ("exited", "dead", "removing"):
        facts = {"Names": ["/n"], "Labels": {}, "State": state, "Created": 1}
        assert containers.info(facts).state is SandboxState.EXITED


def test_a_container_that_was_restarted_is_followed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L4: `docker restart` is no end."""

    class Api:
        waits = 0

        def wait(self, name: str, timeout: None) -> None:
            self.waits += 1

        def inspect_container(self, name: str) -> dict[str, object]:
            runs, restarts = self.waits == 1, self.waits == 2
            state = {"Running": runs, "Restarting": restarts, "ExitCode": 2, "OOMKilled": False}
            return {"State": state}

    class Client:
        api = Api()

        def close(self) -> None:
            pass

    monkeypatch.setattr(docker_api, "connect", lambda *_: Client())
    engine = docker.DockerEngine(tmp_path, address="unix:///nowhere")
    assert engine.follow("n").code == 2
    assert Client.api.waits == 3


def test_the_address_is_docker_hosts_then_the_local_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")
    assert docker_api.engine_address() == "unix:///x"
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(docker_api, "_SYSTEM_SOCKET", tmp_path / "system.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert docker_api.engine_address() == f"unix://{tmp_path / 'system.sock'}"
    (tmp_path / "docker.sock").touch()
    assert docker_api.engine_address() == f"unix://{tmp_path / 'docker.sock'}"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (PermissionError(13, "Permission denied"), "group docker"),
        (FileNotFoundError(2, "No such file or directory"), "DOCKER_HOST"),
        (ConnectionRefusedError(111, "Connection refused"), "docker info"),
    ],
)
def test_an_engine_that_cannot_be_reached_says_what_to_do(error: OSError, hint: str) -> None:
    """M1."""
    with (
        pytest.raises(EnvironmentFault, match="unix:///x") as caught,
        docker_api.errors("x", "unix:///x"),
    ):
        raise error
    assert caught.value.code == "engine_unreachable"
    assert hint in (caught.value.hint or "")
