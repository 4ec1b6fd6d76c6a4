"""What an agent can and cannot do, looked at from inside a running sandbox (M1)."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from rover_mcp.sandbox.protocol import SandboxSpec
from tests.contracts.engine_rigs import (
    BubblewrapRig,
    DockerRig,
    PodmanRig,
    Rig,
    SandboxShell,
    gateway,
    new_task,
)


def _status(inside: SandboxShell) -> dict[str, str]:
    _, text = inside.run("cat", "/proc/self/status")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_the_agent_has_no_privilege_and_can_gain_none(inside: SandboxShell) -> None:
    status = _status(inside)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()


def test_the_agent_cannot_become_root(inside: SandboxShell) -> None:
    code, said = inside.python("import os; os.setuid(0)")
    assert code != 0, said
    code, said = inside.sh("unshare -U -r id -u")
    assert code != 0, said


@pytest.mark.parametrize(
    "place", ["/", "/usr", "/etc", "/opt", "/rover", "/rover/spec", "/rover/base/objects", "/proc/sys/vm"]
)  # fmt: skip
def test_the_agent_cannot_write_outside_its_folders(inside: SandboxShell, place: str) -> None:
    code, said = inside.sh(f"touch {place}/x")
    assert code != 0, said


def test_the_agent_cannot_change_its_orders_or_the_base(inside: SandboxShell) -> None:
    for path in ("/rover/spec/spec.json", "/rover/base/objects/object"):
        code, said = inside.sh(f"cat {path} >/dev/null && echo x >> {path}")
        assert code != 0, said
        folder = path.rpartition("/")[0]
        _, mounts = inside.run("cat", "/proc/self/mountinfo")
        options = next(line.split()[5] for line in mounts.splitlines() if f" {folder} " in line)
        assert "ro" in options.split(",")


def test_the_agent_cannot_set_the_hosts_kernel(inside: SandboxShell) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    code, said = inside.sh(
        "cat /proc/sys/kernel/core_pattern > /tmp/p; cat /tmp/p > /proc/sys/kernel/core_pattern"
    )
    assert code != 0, said
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_the_journal_is_out_of_the_agents_reach(inside: SandboxShell) -> None:
    secret = inside.spec.folders.run / "journal.jsonl"
    secret.write_text("of the runner\n")
    for path in ("/rover/run", str(inside.spec.folders.run)):
        code, _ = inside.sh(f"cat {path}/journal.jsonl || touch {path}/x")
        assert code != 0


def test_the_host_and_other_tasks_are_not_there(inside: SandboxShell) -> None:
    other = inside.rig.spec(new_task())
    (other.folders.work / "secret").write_text("of another task\n")
    for path in (
        str(other.folders.work / "secret"),
        str(Path.home() / ".bashrc"),
        "/var/run/docker.sock",
        "/run/docker.sock",
        str(Path(__file__).parents[2]),
    ):
        code, said = inside.sh(f"ls -d {path}")
        assert code != 0, said
    code, said = inside.sh("cat /etc/shadow")
    assert code != 0, said


def test_no_process_but_the_sandboxs_own_is_seen(inside: SandboxShell) -> None:
    code, said = inside.sh("for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done")
    assert code == 0
    assert "-m pytest" not in said
    assert "dockerd" not in said


def test_there_is_no_network_but_loopback(inside: SandboxShell) -> None:
    code, said = inside.sh("cut -d: -f1 -s /proc/net/dev | tr -d ' '")
    assert (code, said.split()) == (0, ["lo"]) or "lo" in said.split()
    interfaces = [line for line in said.split() if "|" not in line]
    assert interfaces == ["lo"]
    code, said = inside.python(
        'import socket; socket.create_connection(("192.0.2.1", 80), timeout=2)'
    )
    assert code != 0
    assert "unreachable" in said


def test_the_gateways_socket_is_there_and_survives_a_new_daemon(inside: SandboxShell) -> None:
    """The one way out; a socket made anew at the same place is the one that is reached."""
    name = inside.spec.folders.gateway_socket.name
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f's.connect("/rover/gateway/{name}"); print(s.recv(9).decode())'
    )
    for greeting in (b"first", b"second"):
        with gateway(inside.spec.folders.gateway_socket) as server:
            inside.spec.folders.gateway_socket.chmod(0o666)
            answered = threading.Thread(target=_greet, args=(server, greeting))
            answered.start()
            assert inside.python(script) == (0, greeting.decode() + "\n")
            answered.join(300)


def _greet(server, greeting: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(greeting)


def test_home_work_and_tmp_can_be_used(inside: SandboxShell) -> None:
    script = "for d in /workspace /home/agent /tmp; do echo x > $d/y || exit 1; done; cd; pwd"
    assert inside.sh(script) == (0, "/home/agent\n")
    assert inside.sh("cp /bin/true /tmp/t && /tmp/t && pwd") == (0, "/workspace\n")


def test_tmp_has_a_limit(inside: SandboxShell) -> None:
    code, said = inside.sh("head -c 3000000 /dev/zero > /tmp/big")
    assert code != 0
    assert "No space left" in said


def test_what_is_kept_in_memory_has_a_limit(inside: SandboxShell) -> None:
    """U8: bubblewrap's /dev and /dev/shm took half of the machine's memory."""
    code, said = inside.run("stat", "-f", "-c", "%b %S", "/dev/shm")
    assert code == 0, said
    blocks, size = map(int, said.split())
    assert blocks * size == inside.spec.limits.shm_bytes
    assert inside.sh("echo x > /dev/shm/x && cat /dev/shm/x && echo x > /dev/null") == (0, "x\n")
    code, said = inside.sh("head -c 100000 /dev/zero > /dev/big")
    assert code != 0, said


def test_the_tools_of_a_step_are_there(inside: SandboxShell) -> None:
    for tool in ("git", "bash", "python3"):
        code, said = inside.run(tool, "--version")
        assert code == 0, said
    assert inside.run("id", "-un") == (0, "agent\n")


def test_a_login_shell_finds_what_other_commands_find(inside: SandboxShell) -> None:
    """G1: commands run in a login shell."""
    environment = json.loads((inside.spec.folders.spec / "spec.json").read_text())["environment"]
    done = inside.engine.exec(inside.spec.name, ["bash", "-lc", "echo $PATH"], environment)
    assert done.stdout.decode().strip() == environment["PATH"]


def test_no_secret_of_the_daemon_reaches_a_sandbox(
    real_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    inside = SandboxShell(real_rig)
    _, said = inside.run("env")
    assert "sk-secret" not in said
    assert not _any_environment_holds(b"sk-secret", inside.spec)


def _any_environment_holds(secret: bytes, spec: SandboxSpec) -> bool:
    found: Sequence[str] = (spec.folders.run / "started").read_text().split()
    for pid in found:
        path = Path("/proc", pid, "environ")
        if path.exists() and b"runner.py" in Path("/proc", pid, "cmdline").read_bytes():
            return secret in path.read_bytes()
    return False


def test_a_container_has_every_limit_that_its_engine_does_not_name(
    container_rig: DockerRig,
) -> None:
    inside = SandboxShell(container_rig)
    assert inside.engine.check().limits_not_applied == ()
    told = json.loads(container_rig.docker("inspect", inside.spec.name))[0]["HostConfig"]
    limit = 256 * 1024**2
    wanted = {
        "Memory": limit, "MemorySwap": limit, "NanoCpus": 10**9, "PidsLimit": 64,
        "ReadonlyRootfs": True, "NetworkMode": "none", "Privileged": False,
        # Podman has our own.
        "Init": not isinstance(container_rig, PodmanRig),
    }  # fmt: skip
    assert {name: told.get(name, False) for name in wanted} == wanted
    assert told["RestartPolicy"]["Name"] in ("", "no")
    code, said = inside.sh("ulimit -c; i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done")
    assert code != 0, said
    assert said.startswith("0\n")


@pytest.mark.docker
def test_docker_tells_a_sandbox_that_ran_out_of_memory(docker_rig: DockerRig) -> None:
    """L1."""
    inside = SandboxShell(docker_rig)
    inside.python("x = bytearray(400 * 1024 * 1024)")
    docker_rig.kill(inside.spec)
    ended = inside.engine.follow(inside.spec.name)
    assert ended.code == 137
    assert ended.out_of_memory


@pytest.mark.podman
def test_podman_tells_a_sandbox_that_ran_out_of_memory(podman_rig: PodmanRig) -> None:
    """L1: its own state does not, on control groups version 1."""
    inside = SandboxShell(podman_rig)
    code, said = inside.python("x = bytearray(400 * 1024 * 1024)")
    assert code == 137, said
    podman_rig.kill_runner(inside.spec)
    ended = inside.engine.follow(inside.spec.name)
    assert (ended.code, ended.out_of_memory) == (137, True)


@pytest.mark.podman
def test_podman_tells_a_sandbox_that_was_killed_from_one_without_memory(
    podman_rig: PodmanRig,
) -> None:
    inside = SandboxShell(podman_rig)
    podman_rig.kill_runner(inside.spec)
    ended = inside.engine.follow(inside.spec.name)
    assert (ended.code, ended.out_of_memory) == (137, False)


def test_a_container_says_whose_it_is(container_rig: DockerRig) -> None:
    inside = SandboxShell(container_rig)
    labels = container_rig.docker("inspect", "-f", "{{json .Config.Labels}}", inside.spec.name)
    for part in ("home", "task", "project", "attempt"):
        assert f'"dev.rover.{part}":' in labels
    volumes = container_rig.docker(
        "volume", "ls", "-q", "-f", f"label=dev.rover.task={inside.spec.task_id}"
    )
    assert sorted(volumes.split()) == [
        f"rover-{inside.spec.task_id[:12]}-home", f"rover-{inside.spec.task_id[:12]}-work",
    ]  # fmt: skip


def test_bubblewrap_bounds_memory_and_processes_where_it_says_so(
    bubblewrap_rig: BubblewrapRig,
) -> None:
    """L1: the sandbox is hit, the runner is not, and what happened is told."""
    inside = SandboxShell(bubblewrap_rig)
    assert inside.engine.check().limits_not_applied == ()
    code, said = inside.python("x = bytearray(400 * 1024 * 1024)")
    assert code == 137, said
    code, said = inside.python(
        "import os, signal; [os.fork() or signal.pause() for _ in range(99)]"
    )
    assert code != 0
    assert "Resource temporarily unavailable" in said
    bubblewrap_rig.finish(inside.spec, 1)
    ended = inside.engine.follow(inside.spec.name)
    assert (ended.code, ended.out_of_memory) == (1, True)
    inside.engine.remove(inside.spec.name)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/**/{inside.spec.name}"))
