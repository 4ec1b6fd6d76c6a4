"""What podman does otherwise than Docker (M3)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import podman, podman_seccomp, podman_service
from rover_mcp.sandbox.podman import PodmanEngine
from rover_mcp.sandbox.podman_service import PodmanService, find_socket
from rover_mcp.sandbox.protocol import EngineStatus
from tests.contracts.engine_rigs import make_spec

PROFILE = Path("/x/podman-seccomp.json")


def _host(*controllers: str, rootless: bool = False, ids: int = 65536) -> dict[str, Any]:
    return {
        "cgroupControllers": list(controllers),
        "security": {"rootless": rootless, "seccompEnabled": True},
        "idMappings": {"uidmap": [{"size": 1}, {"size": ids}] if rootless else None},
    }


def _facts(host: dict[str, Any]) -> dict[str, Any]:
    return {"host": host, "version": {"Version": "4.3.1"}}


def test_what_no_controller_limits_is_named_and_not_asked_for(tmp_path: Path) -> None:
    """M3: rootless on cgroups v1 podman claims every limit in Docker's info, and applies none."""
    host = _host("memory", rootless=True)
    assert podman.judge(_facts(host)).limits_not_applied == ("cpu", "processes")
    made = podman.options(make_spec(tmp_path, "0" * 32), host, PROFILE)
    assert made["mem_limit"] == made["memswap_limit"] == 256 * 1024**2
    assert {"nano_cpus", "pids_limit"}.isdisjoint(made)
    assert {u["Name"]: u["Hard"] for u in made["ulimits"]}["nproc"] == 64


def test_every_limit_that_it_can_apply_is_asked_for(tmp_path: Path) -> None:
    host = _host("cpu", "memory", "pids")
    assert podman.judge(_facts(host)).limits_not_applied == ()
    made = podman.options(make_spec(tmp_path, "0" * 32), host, PROFILE)
    assert made["pids_limit"] == 64
    assert made["nano_cpus"] == 10**9
    assert made["security_opt"] == ["no-new-privileges", f"seccomp={PROFILE}"]
    assert made["network_mode"] == "none"
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]


def test_what_podman_would_make_writable_is_not(tmp_path: Path) -> None:
    made = podman.options(make_spec(tmp_path, "0" * 32), {"cgroupControllers": []}, PROFILE)
    assert made["read_only"]
    assert made["tmpfs"]["/var/tmp"].startswith("ro,nosuid,nodev,noexec,")


def test_a_user_without_subordinate_ids_is_refused_with_the_command(tmp_path: Path) -> None:
    """M1: the agent could not be another user than the runner."""
    status = podman.judge(_facts(_host(rootless=True, ids=1)))
    assert not status.available
    assert "--add-subuids" in status.hint


def test_a_podman_without_seccomp_is_refused() -> None:
    host = _host("memory")
    host["security"]["seccompEnabled"] = False
    assert not podman.judge(_facts(host)).available


def test_its_seccomp_profile_is_tightened(tmp_path: Path) -> None:
    source = tmp_path / "seccomp.json"
    allow = {"names": ["read", "clone", "clone3", "unshare", "mount"], "action": "SCMP_ACT_ALLOW"}
    admin = {"names": ["bpf", "setns"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["X"]}}
    source.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow, admin]}))
    made = json.loads(podman_seccomp.write_tightened(source, tmp_path).read_text())
    assert made["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = [r for r in made["syscalls"] if r["action"] == "SCMP_ACT_ALLOW"]
    assert [r["names"] for r in allowed] == [["read"], ["clone"]]
    assert allowed[1]["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"


def test_without_a_seccomp_profile_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="seccomp profile"):
        podman_seccomp.write_tightened(tmp_path / "none.json", tmp_path)


def test_the_socket_is_container_hosts_then_the_users_then_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podman_service, "_SYSTEM_SOCKET", tmp_path / "system.sock")
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert find_socket() is None
    (tmp_path / "system.sock").touch()
    assert find_socket() == f"unix://{tmp_path}/system.sock"
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    assert find_socket() == f"unix://{tmp_path}/podman/podman.sock"
    monkeypatch.setenv("CONTAINER_HOST", "unix:///mine")
    assert find_socket() == "unix:///mine"


def test_where_podman_is_missing_that_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1."""
    monkeypatch.setattr(podman_service, "find_socket", lambda: None)
    monkeypatch.setattr(podman, "find_socket", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    status = PodmanEngine(tmp_path).check()
    assert not status.available
    assert "podman is not installed" in status.reason


def _program(folder: Path, body: str) -> None:
    program = folder / "podman"
    program.write_text(f"#!/usr/bin/env python3\n{body}\n")
    program.chmod(0o755)


def test_a_service_of_our_own_is_started_once_without_secrets_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(
        tmp_path,
        "import os, socket, sys, signal\n"
        f"open({str(tmp_path / 'told')!r}, 'a').write(' '.join(sys.argv[1:3]) + '\\n')\n"
        f"open({str(tmp_path / 'env')!r}, 'w').write(repr(dict(os.environ)))\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[-1].removeprefix('unix://'))\n"
        "s.listen(8); signal.pause()",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{podman_service.os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    service = PodmanService(tmp_path)
    service.ensure()
    service.ensure()
    assert (tmp_path / "told").read_text() == "system service\n"
    environment = (tmp_path / "env").read_text()
    assert "sk-secret" not in environment
    # Its facts name the packages of its helpers, for which dpkg would search every installed file.
    assert "DPKG_ADMINDIR" in environment
    service.stop()
    service.ensure()
    assert (tmp_path / "told").read_text().count("\n") == 2
    service.stop()


def test_a_service_that_does_not_start_is_told_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1."""
    _program(tmp_path, "import sys; sys.exit('no runtime here')")
    monkeypatch.setenv("PATH", f"{tmp_path}:{podman_service.os.environ['PATH']}")
    with pytest.raises(EnvironmentFault, match="no runtime here") as caught:
        PodmanService(tmp_path).ensure()
    assert caught.value.code == "engine_unreachable"


def test_a_podman_that_was_never_used_is_not_started_to_be_told_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L7: the sweep asks every engine."""
    _program(tmp_path, "import sys; sys.exit('started')")
    monkeypatch.setattr(podman, "find_socket", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{podman_service.os.environ['PATH']}")
    assert PodmanEngine(tmp_path).list() == ()
    with pytest.raises(EnvironmentFault, match="started"):
        PodmanService(tmp_path).ensure()
    with pytest.raises(EnvironmentFault, match="started"):
        PodmanEngine(tmp_path).list()


def test_what_works_is_asked_again_after_a_minute_or_without_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """get_status asks at each call, and podman takes up to a second to answer."""
    asked: list[str] = []

    def check(engine: PodmanEngine) -> EngineStatus:
        asked.append(engine.name)
        return EngineStatus("podman", True, "4.3.1")

    monkeypatch.setattr(podman.DockerEngine, "check", check)
    clock = [0.0]
    path = tmp_path / "s"
    engine = PodmanEngine(tmp_path, address=f"unix://{path}", now=lambda: clock[0])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        for clock[0], times in ((0, 1), (59, 1), (61, 2), (62, 2)):
            assert engine.check().available
            assert len(asked) == times
    engine.check()
    assert len(asked) == 3
