"""The daemon's life: versions, idle end, many at once, credentials, resuming automatically."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rover_mcp import __version__
from rover_mcp.launcher.handshake import socket_path
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import descendants, is_alive, kill, pause_after_look, wait_until
from tests.e2e.test_real_claude import environment
from tests.e2e.test_survival import DONE, start
from tests.support.fake_anthropic import FakeAnthropic, text
from tests.support.frames import (
    DaemonRestarted,
    ForkingClient,
    Frame,
    LauncherClient,
    StartingClient,
    ToolError,
)
from tests.support.gates import GATE, open_gate
from tests.support.hangs import HANG_SECONDS
from tests.support.models.turns import held
from tests.support.repos import FIXED, git
from tests.support.scripts import fix_after_credits, script
from tests.support.timers import its_time_comes

DEMO = {
    "description": "Fix add", "workflow": "demo", "agent": "scripted",
    "engine": "bubblewrap", "script": fix_after_credits(),
}  # fmt: skip

IDLE = 1
"""Seconds after which a daemon ends that nobody calls."""
WAITS = DEMO | {"workflow": "quick", "script": script(implement=[{"delay": 1}])}


def preamble(home: Path, version: str) -> Frame:
    """The daemon's answer to a client of that version; the connection is closed."""
    hello = {"rover": 1, "client_id": "c" * 32, "version": version, "cwd": "/", "env": {}}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(HANG_SECONDS)
        connection.connect(str(socket_path(home)))
        connection.sendall(json.dumps(hello).encode() + b"\n")
        return json.loads(connection.makefile().readline())


def settings(home: Path, text_: str) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(text_)


def test_a_daemon_of_another_version_gives_way_when_it_is_idle(
    home: Path, repository: Path
) -> None:
    settings(home, "idle_exit: 3600\n")
    with StartingClient(home, repository) as client:
        client.open()
    pid = daemon_pid(home)
    wait_until(lambda: preamble(home, __version__)["status"] == "ok", "it serves")
    wait_until(lambda: preamble(home, "99.0") == _retiring(), "it is idle and gives way")
    wait_until(lambda: not is_alive(pid), "it ended")


def test_an_edited_configuration_counts_at_the_next_call(home: Path, repository: Path) -> None:
    """A daemon that has nothing to do gives way; a busy one goes on and says so."""
    settings(home, "idle_exit: 3600\n")
    with ForkingClient(home, repository) as client:
        client.open()
        pid = daemon_pid(home)
        (home / "config.yaml").write_text("idle_exit: 3600\nconcurrency: 7\n")
        status = client.tool("get_status")
        assert status["queue"]["limit"] != 7
        assert "config.yaml has changed" in status["notice"]
    wait_until(lambda: preamble(home, __version__) == _retiring(), "it is idle and gives way")
    wait_until(lambda: not is_alive(pid), "it ended")
    with ForkingClient(home, repository) as client:
        client.open()
        status = client.tool("get_status")
        assert status["queue"]["limit"] == 7
        assert "notice" not in status


def test_a_corrected_configuration_counts_although_a_task_waits(
    home: Path, repository: Path
) -> None:
    """A daemon that read a wrong one makes no task. It does not go on so for as long as one waits
    for its money."""
    settings(home, "idle_exit: 3600\n")
    with ForkingClient(home, repository) as client:
        client.open()
        task = client.tool("create_task", **DEMO)["task"]
        client.wait_until(task["id"], "PAUSED")
        kill(pid := daemon_pid(home))
        wait_until(lambda: not is_alive(pid), "it ended")
    (home / "config.yaml").write_text("idle_exit: [3600\n")
    with ForkingClient(home, repository) as client:
        client.open()
        with pytest.raises(ToolError, match="rover config check"):
            client.tool("create_task", **WAITS)
        (home / "config.yaml").write_text("idle_exit: 3600\n")
        with pytest.raises(ToolError, match="rover daemon restart"):
            client.tool("create_task", **WAITS)
    wait_until(lambda: preamble(home, __version__) == _retiring(), "it gives way")


def _retiring() -> Frame:
    return {"rover": 1, "version": __version__, "status": "retiring"}


def test_a_busy_daemon_of_another_version_serves_and_says_so(client: LauncherClient) -> None:
    answer = preamble(client.home, "99.0")
    assert answer["status"] == "ok"
    assert "99.0" in answer["notice"]
    assert __version__ in answer["notice"]
    assert client.tool("get_status")["version"] == __version__


def test_the_daemon_outlives_every_process_that_its_launcher_started(
    home: Path, repository: Path
) -> None:
    """As an assistant that is ended hard, and takes all its descendants with it."""
    with StartingClient(home, repository) as client:
        client.open()
        daemon = daemon_pid(home)
        task = client.tool("create_task", **WAITS)["task"]["id"]
        for process in [*descendants(client.process.pid), client.process.pid]:
            kill(process)
    assert is_alive(daemon)
    with StartingClient(home, repository) as other:
        other.open()
        other.wait_until(task, "COMPLETED")
        assert daemon_pid(home) == daemon


def test_the_daemon_ends_when_nothing_is_left(home: Path, repository: Path) -> None:
    settings(home, "idle_exit: 0.2\n")
    with ForkingClient(home, repository) as client:
        client.open()
        pid = daemon_pid(home)
        task = client.tool("create_task", **DEMO)["task"]
        client.wait_until(task["id"], "PAUSED")
        client.tool("pause_task", task=task["id"])  # nothing is scheduled any more
    wait_until(lambda: not is_alive(pid), "it ended by itself")


def test_the_daemon_ends_with_its_data_folder(home: Path, repository: Path) -> None:
    """B.9: it would stay for a quarter of an hour, and hold files that nobody can see."""
    with ForkingClient(home, repository) as client:
        client.open()
        pid = daemon_pid(home)
        shutil.rmtree(home)
        wait_until(lambda: not is_alive(pid), "it ended by itself")


def test_short_calls_keep_the_daemon(home: Path, repository: Path) -> None:
    """None of them need be there when it looks."""
    settings(home, f"idle_exit: {IDLE}\n")
    while called_for(home, repository, 4 * IDLE) > IDLE:
        pass  # The machine was so busy that the daemon may have ended between two calls.


def called_for(home: Path, repository: Path, seconds: float) -> float:
    """Call a new daemon for so long, or until it may have ended; the longest time between calls."""
    with ForkingClient(home, repository) as client:
        client.open()
        last = time.monotonic()
    pid, longest, end = daemon_pid(home), 0.0, last + seconds
    while is_alive(pid) and last < end and longest <= IDLE:
        began = time.monotonic()
        with suppress(OSError, ValueError):
            preamble(home, __version__)
        longest, last = max(longest, time.monotonic() - last), began
        pause_after_look(began)
    assert is_alive(pid) or longest > IDLE, f"it ended, and was called every {longest} s"
    wait_until(lambda: not is_alive(pid), "it ended by itself")
    return longest


def test_a_paused_task_goes_on_by_itself_with_no_client(home: Path, repository: Path) -> None:
    """K1, K2: the schedule is stored and kept by the daemon alone."""
    settings(home, "idle_exit: 0.2\nretry: {credits_first: 3600, jitter: 0}\n")
    with ForkingClient(home, repository) as client:
        client.open()
        task = client.tool("create_task", **DEMO)["task"]
        client.wait_until(task["id"], "PAUSED")
    its_time_comes(home, task["id"])
    wait_until(lambda: _status(home, task["id"]) == "COMPLETED", "it completed by itself")
    with ForkingClient(home, repository) as late:
        late.open()
        told = late.tool("list_tasks")
        assert [e["event"] for e in told["attention"]] == ["task.completed"]
        events = late.tool("inspect", task=task["id"], detail="full")["events"]
        assert [e["event"] for e in events].count("task.resumed") == 1


def _status(home: Path, task_id: str) -> str:
    connection = sqlite3.connect(f"file:{home}/rover.db?mode=ro", uri=True)
    try:
        query = "SELECT status FROM rover_tasks WHERE id = ?"
        return connection.execute(query, (task_id,)).fetchone()[0]
    finally:
        connection.close()


def test_one_of_many_that_resume_wins(client: LauncherClient, repository: Path) -> None:
    """J1: the others get already_resuming, as long as it runs."""
    paused, done = json.loads(fix_after_credits())["steps"]["implement"]
    played = script(implement=[paused, {**done, "run": GATE}])
    task = client.tool("create_task", **DEMO | {"script": played})["task"]
    client.wait_until(task["id"], "PAUSED")
    others = [ForkingClient(client.home, repository) for _ in range(3)]
    results: list[str] = []
    for other in others:
        other.open()

    def resume(one: LauncherClient) -> None:
        results.append(one.tool("resume_task", task=task["id"])["result"])

    threads = [threading.Thread(target=resume, args=(c,)) for c in (client, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    for other in others:
        other.close()
    assert sorted(results) == ["already_resuming"] * 3 + ["resumed"]
    open_gate(client.home, task["id"])
    assert client.wait_until(task["id"], "COMPLETED")["attempt"] == 2


def test_a_missing_credential_pauses_and_another_client_brings_it(
    home: Path, repository: Path
) -> None:
    """D9, M2, Q5: reason auth, with what is missing; it continues once a client has it."""
    # Its only answer comes once it was resumed by a call, too.
    with FakeAnthropic([held(text("Nothing to do."))]) as provider:
        env = environment(provider, home.parent / "bin")
        with ForkingClient(home, repository, {"PATH": env["PATH"]}) as poor:
            poor.open()
            task = poor.tool(
                "create_task", description="x", workflow="quick", agent="claude",
                engine="bubblewrap",
            )["task"]  # fmt: skip
            paused = poor.wait_until(task["id"], "PAUSED")
            assert paused["pause"]["reason"] == "auth"
            assert "ANTHROPIC_API_KEY" in paused["pause"]["message"]
            assert paused["pause"]["auto_resume"] is True
            assert "retry_at" not in paused["pause"]
            with ForkingClient(home, repository, env) as rich:
                rich.open()
                result = rich.tool("resume_task", task=task["id"])["result"]
                assert result in ("resumed", "already_resuming")
                provider.session().go_on()
                rich.wait_until(task["id"], "COMPLETED")


def test_foreground_serves_one_client_without_a_socket(home: Path, repository: Path) -> None:
    import os

    env = {**os.environ, "ROVER_HOME": str(home)}
    argv = [sys.executable, "-m", "rover_mcp.launcher.main", "--foreground"]
    opening = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                   "clientInfo": {"name": "t", "version": "1"}},
    }  # fmt: skip
    with subprocess.Popen(
        argv, env=env, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(opening).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "rover"
        assert not socket_path(home).exists()
        process.stdin.close()
        assert process.wait(HANG_SECONDS) == 0


def test_frames_that_are_none_do_not_end_the_connection(client: LauncherClient) -> None:
    """Garbage, nesting and a frame beyond the limit are answered or dropped."""
    stdin = client.process.stdin
    assert stdin
    for junk in (b"not json\n", b"[" * 5000 + b"\n", b'{"jsonrpc":"2.0"}\n', b"\xff\xfe\n"):
        stdin.write(junk)
    stdin.write(b'{"x":"' + b"a" * 20_000_000 + b'"}\n')
    stdin.flush()
    assert client.tool("list_tasks")["tasks"] == []


def test_a_daemon_that_was_restarted_hears_the_runner_again(client: LauncherClient) -> None:
    """The gateway is served again: the end is told at once, not found by a sweep."""
    task = start(client, [{**DONE, "run": GATE}])
    kill(daemon_pid(client.home))
    inspect_again(client, task)
    open_gate(client.home, task["id"])
    done = client.wait_for(
        lambda f: (
            f.get("method") == "notifications/message"
            and f["params"]["data"]["event"] == "task.completed"
        )
    )
    steps = [
        f["params"]["data"]["summary"]
        for f in client.frames[: client.frames.index(done)]
        if f.get("method") == "notifications/message"
        and f["params"]["data"]["event"] == "task.step"
    ]
    assert any("Test: completed" in s for s in steps)


def inspect_again(client: LauncherClient, task: Frame) -> None:
    """Watch the task over the new daemon; the call in flight may have been lost with the old."""
    while True:
        try:
            client.tool("inspect", task=task["id"])
        except DaemonRestarted:
            continue
        return


def test_the_data_folder_is_its_users_alone(client: LauncherClient) -> None:
    """It holds the sockets and the tokens that they ask for."""
    assert client.home.stat().st_mode & 0o777 == 0o700


def test_a_line_that_is_no_message_is_answered(client: LauncherClient) -> None:
    """Its sender does not wait for ever; JSON-RPC's codes for a parse error and a bad request."""
    stdin = client.process.stdin
    assert stdin
    lone = b'{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"\\ud83d"}}\n'
    stdin.write(b"not json\n" + lone)
    stdin.flush()
    assert client.wait_for(lambda f: f.get("error", {}).get("code") == -32700)["id"] is None
    assert client.wait_for(lambda f: f.get("id") == 77)["error"]["code"] == -32600
    assert client.tool("list_tasks")["tasks"] == []


def test_a_branch_that_cannot_be_delivered_is_told_and_delivered_by_resume(
    client: LauncherClient, repository: Path
) -> None:
    """COMPLETED means delivered: nothing is reported that is not true, nothing is lost, neither
    of the task's nor what the user committed on its unfinished work."""
    task = client.tool("create_task", **{**DEMO, "script": fix_after_credits()})["task"]
    branch = client.wait_until(task["id"], "PAUSED")["branch"]
    tree = git(repository, "rev-parse", f"{branch}^{{tree}}")
    own = git(repository, "commit-tree", tree, "-p", branch, "-m", "the user's own")
    git(repository, "update-ref", f"refs/heads/{branch}", own)
    client.tool("resume_task", task=task["id"])
    failed = client.wait_until(task["id"], "FAILED")
    assert "its branch is not in your repository" in failed["error"]
    assert git(repository, "rev-parse", branch) == own
    git(repository, "branch", "-m", branch, "mine")
    assert client.tool("resume_task", task=task["id"])["result"] == "resumed"
    done = client.wait_until(task["id"], "COMPLETED")
    assert git(repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()


def test_a_failed_task_that_is_restarted_starts_over_and_is_delivered(
    client: LauncherClient, repository: Path
) -> None:
    """H5: the branch holds nothing of the first try, and its cost still counts."""
    script = """\
steps:
  implement:
    - edits: [{path: wrong.txt, content: wrong}]
      usage: {input_tokens: 5}
      error: {status: 413, type: request_too_large, message: too large, provider: anthropic}
    - {edits: [{path: right.txt, content: right}], usage: {input_tokens: 7}}
"""
    task = client.tool(
        "create_task", description="Write right.txt", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script, inputs={"check_command": "test -e right.txt"},
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "FAILED")
    client.tool("restart_task", task=task["id"])
    done = client.wait_until(task["id"], "COMPLETED")
    names = git(repository, "ls-tree", "--name-only", done["branch"]).splitlines()
    assert "right.txt" in names
    assert "wrong.txt" not in names
    assert done["usage"]["input_tokens"] == 12
