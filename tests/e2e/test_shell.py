"""`rover shell`: a person's shell on a copy of a task's files, in a sandbox that ends with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.clients.terminal import Terminal
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.podman_env import podman_host
from tests.support.repos import git
from tests.support.scripts import script

__all__ = ["podman_host"]

ENGINES = [
    "bubblewrap",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
]
CREDITS = {"status": 400, "type": "invalid_request_error", "provider": "anthropic",
           "message": "Your credit balance is too low to access the Anthropic API."}  # fmt: skip
EDIT = {"path": "one.txt", "content": "from the agent\n"}
ROVER = [sys.executable, "-m", "rover_mcp.cli.command_line"]


@pytest.fixture(autouse=True)
def podman_for_daemons(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman is started only for a test that uses it, and found by the daemon's environment."""
    if "podman" in request.node.name:
        monkeypatch.setenv("CONTAINER_HOST", request.getfixturevalue("podman_host"))


def ended(client: LauncherClient, engine: str = "bubblewrap", *, pauses: bool = False) -> Frame:
    """A task that has written a file."""
    step: Frame = {"edits": [EDIT], **({"error": CREDITS} if pauses else {})}
    task = client.tool(
        "create_task", description="Write one.txt", workflow="quick", agent="scripted",
        engine=engine, script=script(implement=[step]), auto_resume=False,
    )["task"]  # fmt: skip
    return client.wait_until(task["id"], "PAUSED" if pauses else "COMPLETED")


def shell(
    client: LauncherClient, task: Frame, *command: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    argv = [*ROVER, "--home", str(client.home), "shell", task["id"], "--", *command]
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=HANG_SECONDS,
        cwd=client.home.parent,
    )  # fmt: skip


def left(client: LauncherClient) -> list[Path]:
    """What marks the sandboxes of shells, and of nothing else: no spare one is made here."""
    folder = client.home / "spares"
    return list(folder.iterdir()) if folder.exists() else []


@pytest.fixture
def client(podman_for_daemons: None, home: Path, repository: Path) -> Iterator[LauncherClient]:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("spare_sandboxes: 0\nsweep_interval: 1\n")
    with LauncherClient(home, repository, {"ANTHROPIC_API_KEY": "sk-ant-canary"}) as opened:
        opened.open()
        yield opened


@pytest.mark.parametrize("engine", ENGINES)
def test_a_command_runs_on_a_copy_and_passes_its_status_on(
    client: LauncherClient, repository: Path, engine: str
) -> None:
    task = ended(client, engine)
    tip = git(repository, "rev-parse", task["branch"])
    done = shell(
        client, task, "sh", "-c",
        "cat one.txt; cat; echo oops >&2; echo changed > one.txt; git log --oneline | wc -l; "
        "id -u; env; ls -A ~; exit 7",
        stdin="typed\n",
    )  # fmt: skip
    assert (done.returncode, "oops\n" in done.stderr) == (7, True), done.stderr
    assert done.stdout.startswith("from the agent\ntyped\n")
    assert "sk-ant-canary" not in done.stdout
    assert not re.search(r"ANTHROPIC|API_KEY|OPENAI", done.stdout)
    assert "A copy of task 1 (COMPLETED), as of snapshot s" in done.stderr
    assert git(repository, "rev-parse", task["branch"]) == tip
    assert git(repository, "show", f"{tip}:one.txt") == "from the agent"
    again = shell(client, task, "cat", "one.txt")
    assert again.stdout == "from the agent\n", "each shell has a copy of its own"
    wait_until(lambda: not left(client), "nothing is left of it")


def say_at_prompt(screen: Terminal, line: str) -> None:
    """A line that is typed once the shell asks for one."""
    wait_until(lambda: screen.screen().rstrip().endswith(("$", "#")), "the shell's prompt")
    screen.say(line)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_shell_has_a_terminal_whose_keys_are_its_own(
    client: LauncherClient, engine: str, tmp_path: Path
) -> None:
    task = ended(client, engine, pauses=True)
    with on_terminal(client, task, tmp_path) as screen:
        screen.wait_for("A copy of task 1 (PAUSED)")
        say_at_prompt(screen, "echo size $(stty size) tty $(tty)")
        screen.wait_for("size 50 170 tty /dev/pts/")
        # The inner shell prints once it has the terminal: a Ctrl-C before that would be the outer's.
        say_at_prompt(screen, "sh -c 'echo beg$((1))n; exec sleep 600'; echo not this")
        screen.wait_for("beg1n")
        screen.press("C-c")
        say_at_prompt(screen, "echo st$((20 + 1))ll here")
        screen.wait_for("st21ll here")
        assert "not this\n" not in screen.screen().replace("echo not this", "")
        say_at_prompt(screen, "sleep 500 & jobs")
        screen.wait_for("Running")
        say_at_prompt(screen, "exit 3")
        screen.wait_for_end()
    wait_until(lambda: not left(client), "nothing is left of it")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_that_is_killed_leaves_no_sandbox_behind(
    client: LauncherClient, engine: str
) -> None:
    task = ended(client, engine)
    with started(client, task, ["sh", "-c", "trap '' HUP TERM; echo up; sleep 600"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (marker,) = left(client)
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not left(client), "the sandbox and its folders are gone")
    assert not (client.home / "tasks" / marker.name).exists()


def test_after_the_daemons_death_the_next_one_removes_what_is_left(
    client: LauncherClient, repository: Path
) -> None:
    task = ended(client)
    with started(client, task, ["sh", "-c", "echo up; sleep 600"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (marker,) = left(client)
        os.kill(daemon_pid(client.home), signal.SIGKILL)
        with LauncherClient(client.home, repository) as again:
            again.open()
            wait_until(lambda: not left(client), "the next daemon removes it")
        assert process.wait(HANG_SECONDS) != 0
    assert not (client.home / "tasks" / marker.name).exists()


def test_a_running_task_is_looked_at_and_not_disturbed(
    client: LauncherClient, repository: Path
) -> None:
    """Its shell has a copy of the last snapshot, and none of what its step is changing."""
    plan = [{"say": "planned", "outputs": {"plan": "p"}}]
    task = client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted",
        engine="bubblewrap", script=script(plan=plan, implement=[{"edits": [EDIT], "delay": 600}]),
    )["task"]  # fmt: skip
    work = client.home / "tasks" / task["id"] / "work"
    wait_until((work / "one.txt").exists, "the step has written a file")
    done = shell(client, task, "sh", "-c", "ls; echo x > mine.txt")
    assert done.returncode == 0, done.stderr
    assert "one.txt" not in done.stdout
    assert not (work / "mine.txt").exists()
    assert client.tool("inspect", task=task["id"])["task"]["status"] == "IN_PROGRESS"


def test_the_tasks_network_is_the_shells(client: LauncherClient) -> None:
    task = ended(client)
    asked = (
        "import os, urllib.request as u\n"
        "try: u.urlopen('http://example.com/', timeout=600)\n"
        "except Exception as e: print('refused', e)\n"
    )
    done = shell(client, task, "python3", "-c", asked)
    assert "refused" in done.stdout, done.stdout + done.stderr


def test_large_input_and_output_pass_whole(client: LauncherClient) -> None:
    """Neither side waits for the other for ever: both are sent at once, beyond every buffer."""
    task = ended(client)
    text = "0123456789abcde\n" * 200_000
    done = shell(client, task, "cat", stdin=text)
    assert done.stdout == text


def on_terminal(client: LauncherClient, task: Frame, folder: Path) -> Terminal:
    argv = [*ROVER, "--home", client.home, "shell", task["id"]]
    return Terminal(folder, argv, dict(os.environ), client.home.parent)


def started(client: LauncherClient, task: Frame, command: Sequence[str]) -> subprocess.Popen[bytes]:
    argv = [*ROVER, "--home", str(client.home), "shell", task["id"], "--", *command]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        cwd=client.home.parent,
    )  # fmt: skip
