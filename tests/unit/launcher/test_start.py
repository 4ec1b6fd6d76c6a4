"""Finding and starting the daemon."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from rover_mcp.daemon.heartbeat import BEAT_SECONDS, STUCK_SECONDS
from rover_mcp.launcher import daemon_client, daemon_start
from rover_mcp.launcher.daemon_client import START_TIMEOUT, DaemonUnavailable, Dialer
from rover_mcp.launcher.handshake import socket_path
from tests.e2e.processes import descendants, is_alive
from tests.support.stub_daemon import PROGRAM, StubDaemon, wait_until
from tests.unit.launcher.conftest import Launch


def starts(home: Path) -> list[int]:
    path = home / "stub.starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_twenty_launchers_at_once_start_one_daemon(launch: Launch, home: Path) -> None:
    launchers = [launch() for _ in range(20)]
    for launcher in launchers:
        launcher.request(1, "ping")
    pids = {launcher.read()["result"]["pid"] for launcher in launchers}
    assert len(pids) == 1
    assert starts(home) == list(pids)
    for launcher in launchers:
        launcher.close()


def test_a_stale_socket_file_is_no_obstacle(launch: Launch, home: Path) -> None:
    home.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(home)))
    launcher = launch()
    launcher.request(1, "ping")
    assert launcher.read()["result"]["pid"] == starts(home)[0]


def test_a_daemon_that_was_killed_is_started_again_and_the_session_goes_on(
    launch: Launch, home: Path
) -> None:
    launcher = launch()
    launcher.request(0, "initialize")
    launcher.read()
    launcher.notify("notifications/initialized")
    launcher.request(1, "die")
    assert "restarted" in launcher.read()["error"]["message"]
    launcher.request(2, "ping")
    answer = launcher.read()["result"]
    assert answer["seen"] == ["initialize", "notifications/initialized", "ping"]
    first, second = starts(home)
    assert answer["pid"] == second
    wait_until(lambda: not is_alive(first), "the first has ended")


def test_the_daemon_is_detached_and_has_no_secrets_of_the_client(
    launch: Launch, home: Path
) -> None:
    launcher = launch(
        ANTHROPIC_API_KEY="sk-secret",
        GH_TOKEN="t",
        GITLAB_TOKEN="t",
        DOCKER_HOST="unix:///d",
        TZ="UTC",
    )
    launcher.request(1, "ping")
    launcher.read()
    told = json.loads((home / "stub.environ").read_text())
    assert told["cwd"] == "/"
    assert told["session"] == starts(home)[0]
    assert not {"ANTHROPIC_API_KEY", "GH_TOKEN", "GITLAB_TOKEN"} & set(told["env"])
    assert told["env"]["DOCKER_HOST"] == "unix:///d"
    assert told["env"]["TZ"] == "UTC"
    assert told["env"]["ROVER_HOME"] == str(home)
    assert {"PATH", "HOME"} <= set(told["env"])
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "daemon.log").stat().st_mode & 0o777 == 0o600


def test_a_client_that_ends_its_servers_descendants_leaves_the_daemon(
    launch: Launch,
) -> None:
    """opencode does that, with pgrep."""
    launcher = launch()
    launcher.request(1, "ping")
    daemon = launcher.read()["result"]["pid"]
    launcher_pid = launcher.process.pid
    assert descendants(launcher_pid) == []
    assert daemon not in descendants(os.getpid())
    assert not {os.getsid(launcher_pid), os.getpgid(launcher_pid)} & {
        os.getsid(daemon), os.getpgid(daemon)
    }  # fmt: skip


def test_a_daemon_that_refuses_the_data_folder_is_told_to_every_request(
    launch: Launch,
) -> None:
    """A data folder from a newer version: exit status 3 and one line."""
    launcher = launch(STUB="refuse")
    launcher.request("i", "initialize")
    launcher.request(2, "tools/list")
    for request_id in ("i", 2):
        answer = launcher.read()
        assert answer["id"] == request_id
        assert "written by Rover 9.9" in answer["error"]["message"]
        assert "ROVER_HOME" in answer["error"]["message"]
    assert b"written by Rover 9.9" in launcher.stderr.readline()
    launcher.request(3, "initialize")
    assert "9.9" in launcher.read()["error"]["message"], "it tried again and said so again"


def test_a_daemon_that_crashes_while_it_starts_shows_its_last_lines(launch: Launch) -> None:
    launcher = launch(STUB="crash")
    launcher.request(1, "initialize")
    assert "exit status 1" in launcher.read()["error"]["message"]
    launcher.stdin.close()
    assert b"RuntimeError: the stub was told to crash" in launcher.stderr.read()


def test_a_daemon_whose_program_is_gone_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """As after an update that took the interpreter away."""
    monkeypatch.setattr(daemon_start, "DAEMON_COMMAND", ["/gone/python", "-m", "rover_mcp.daemon"])
    with pytest.raises(DaemonUnavailable, match=r"127.*/gone/python cannot be run: No such file"):
        daemon_client.dial("cli", home=str(home))


def test_a_data_folder_that_is_a_file_is_an_error(launch: Launch, home: Path) -> None:
    home.write_text("")
    launcher = launch()
    launcher.request(1, "initialize")
    message = launcher.read()["error"]["message"]
    assert str(home) in message
    assert "ROVER_HOME" in message


def test_a_read_only_data_folder_is_an_error(launch: Launch, tmp_path: Path) -> None:
    """/proc is read-only for everybody, root too."""
    launcher = launch("--home", "/proc/rover")
    launcher.request(1, "initialize")
    message = launcher.read()["error"]["message"]
    assert "the data folder /proc/rover cannot be used" in message


def test_a_full_disk_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, os.strerror(28))

    dialer = Dialer(str(home), b"{}\n")
    home.mkdir()
    monkeypatch.setattr(daemon_start.os, "open", full)
    with pytest.raises(DaemonUnavailable, match="No space left") as caught:
        dialer.step()
    assert "free some space" in caught.value.hint


def test_one_that_never_answers_is_given_up_after_the_timeout(stub: StubDaemon, home: Path) -> None:
    now = [0.0]
    dialer = Dialer(str(home), b"{}\n", clock=lambda: now[0])
    assert dialer.step() is None
    assert dialer.fileno() is not None
    now[0] = START_TIMEOUT + 1
    with pytest.raises(DaemonUnavailable, match="did not answer"):
        dialer.step()


def test_a_daemon_is_waited_for_until_one_that_hangs_has_ended_itself() -> None:
    assert START_TIMEOUT > STUCK_SECONDS + BEAT_SECONDS


def test_retries_wait_5_ms_growing_to_50(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(daemon_start.Starter, "start", lambda _self: None)
    now = [0.0]
    dialer = Dialer(str(home), b"{}\n", clock=lambda: now[0])
    delays = []
    for _ in range(6):
        assert dialer.step() is None
        delays.append(dialer.delay)
    assert delays == [0.005, 0.01, 0.02, 0.04, 0.05, 0.05]


def test_dial_connects_and_hands_over_what_came_behind_the_greeting(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(daemon_start, "DAEMON_COMMAND", PROGRAM)
    connection = daemon_client.dial("cli", home=str(home))
    connection.sock.setblocking(True)
    connection.sock.sendall(b'{"id":1,"method":"ping"}\n')
    assert json.loads(connection.sock.recv(1000))["result"]["seen"] == ["ping"]
    connection.sock.close()

    daemon = starts(home)[0]
    wait_until(lambda: not is_alive(daemon), "the stub ends when nobody is connected")


def test_a_socket_folder_of_another_mode_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Anyone may make a folder of our name under /tmp; keys go to a private one only."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(daemon_client, "socket_name", lambda _home: str(folder / "x.sock"))
    with pytest.raises(DaemonUnavailable, match="can be written by others"):
        Dialer("/nowhere", b"").step()


@pytest.mark.known_escape(7)
def test_a_daemon_of_another_user_gets_no_keys(
    monkeypatch: pytest.MonkeyPatch, stub: StubDaemon, home: Path
) -> None:
    monkeypatch.setattr(daemon_client.os, "getuid", lambda: 12345)
    with pytest.raises(DaemonUnavailable, match="another user"):
        Dialer(str(home), b"secret\n").step()
