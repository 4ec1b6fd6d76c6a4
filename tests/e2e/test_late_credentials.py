"""Credentials that come late: after the daemon that knew them has ended, or after a refusal. The
real Claude Code, a real daemon, a fake provider on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, kill, wait_until
from tests.e2e.test_real_claude import REAL_KEY, assert_secret_is_nowhere, environment
from tests.support.docker_env import cache_folder
from tests.support.fake_anthropic import FakeAnthropic, auth, credit, text, write
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.models.turns import usage_window
from tests.support.real_claude import claude_binary
from tests.support.repos import git
from tests.support.timers import its_time_comes

pytestmark = pytest.mark.real_agent

CLAUDE = {
    "description": "Write hello.txt", "workflow": "quick", "agent": "claude",
    "engine": "bubblewrap",
}  # fmt: skip
SOON = {"credits_first": 2, "credits_most": 2, "jitter": 0}


def settings(home: Path, **values: Any) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(json.dumps(values))


def pause_of(client: LauncherClient, task: str) -> dict[str, Any]:
    return client.tool("inspect", task=task)["task"].get("pause") or {}


def goes_on_to_its_end(client: LauncherClient, task: str) -> dict[str, Any]:
    """A task that is still paused, and that nobody resumes."""
    status = ["PAUSED"]

    def ended() -> bool:
        status.append(client.tool("inspect", task=task)["task"]["status"])
        return status[-1] not in ("PAUSED", "IN_PROGRESS")

    wait_until(ended, "it has ended by itself")
    assert status[-1] == "COMPLETED"
    return client.tool("inspect", task=task)["task"]


def test_a_client_that_brings_the_key_late_lets_a_task_finish(home: Path, repository: Path) -> None:
    """Q4, Q5: the daemon ended during the pause, and the key of the client's environment with it."""
    with FakeAnthropic([write("hello.txt", "hi\n"), credit(), text("Written.")]) as provider:
        env = environment(provider, home.parent / "bin")
        with LauncherClient(home, repository, env) as first:
            first.open()
            task = first.tool("create_task", **CLAUDE)["task"]["id"]
            first.wait_until(task, "PAUSED")
        daemon = daemon_pid(home)
        kill(daemon)
        wait_until(lambda: not is_alive(daemon), "it is dead")
        with LauncherClient(home, repository, {"PATH": env["PATH"]}) as poor:
            poor.open()
            its_time_comes(home, task)
            wait_until(lambda: pause_of(poor, task).get("reason") == "auth", "it is due")
            pause = pause_of(poor, task)
            assert "ANTHROPIC_API_KEY" in pause["message"]
            assert pause["auto_resume"] is True
            assert "credential" in pause["waits_because"]
            with LauncherClient(home, repository, env) as late:
                late.open()
                done = goes_on_to_its_end(late, task)
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "hi"
        assert_secret_is_nowhere(home)


def test_a_refused_key_is_not_tried_again_until_there_is_another(
    home: Path, repository: Path
) -> None:
    """Q5, D9: the same key from another client changes nothing; the right one does."""
    settings(home, retry=SOON)
    with FakeAnthropic([write("hello.txt", "hi\n"), auth(), auth(), auth()]) as provider:
        env = environment(provider, home.parent / "bin")
        wrong = {**env, "ANTHROPIC_API_KEY": "sk-ant-api03-a-wrong-one"}
        with LauncherClient(home, repository, wrong) as first:
            first.open()
            task = first.tool("create_task", **CLAUDE)["task"]["id"]
            first.wait_until(task, "PAUSED")
            assert pause_of(first, task)["reason"] == "auth"
            asked = len(provider.main_requests)
            provider.clear()
            provider.push(text("Written."))
            with LauncherClient(home, repository, wrong) as same:
                same.open()
                with LauncherClient(home, repository, env) as right:
                    right.open()
                    goes_on_to_its_end(right, task)
        keys = [r.api_key for r in provider.main_requests]
        assert set(keys[asked:]) == {env["ANTHROPIC_API_KEY"]}


def test_a_key_that_rover_login_keeps_lets_a_waiting_task_finish(
    home: Path, repository: Path
) -> None:
    """Q5: without a client that has it; the key is in its one file, and nowhere else."""
    with FakeAnthropic([write("hello.txt", "hi\n"), text("Written.")]) as provider:
        env = environment(provider, home.parent / "bin")
        with LauncherClient(home, repository, {"PATH": env["PATH"]}) as client:
            client.open()
            task = client.tool("create_task", **CLAUDE)["task"]["id"]
            paused = client.wait_until(task, "PAUSED")
            assert "rover login anthropic" in paused["pause"]["message"]
            command = [sys.executable, "-m", "rover_mcp.cli.command_line", "login", "anthropic", "--stdin",
                       "--base-url", provider.url, "--home", str(home)]  # fmt: skip
            plain = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
            subprocess.run(command, input=f"{REAL_KEY}\n", text=True, env=plain, check=True)
            goes_on_to_its_end(client, task)
        assert {r.api_key for r in provider.main_requests} == {REAL_KEY}
        key = home / "keys" / "anthropic"
        assert key.read_text() == REAL_KEY
        key.unlink()
        assert_secret_is_nowhere(home)


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_window_of_four_days_that_opens_early_outlives_the_daemon(
    home: Path, repository: Path, agent: str
) -> None:
    """Q3, Q4: the provider told a time four days ahead. The daemon dies, a client with the key
    connects late, and a look finds that the window has opened."""
    days = 4 * 24 * 3600
    binaries = home.parent / "bin"
    binaries.mkdir(parents=True)
    (binaries / "claude").symlink_to(claude_binary())
    with FakeModels() as provider:
        session = provider.session("late")
        session.push(write("hello.txt", "hi\n"), usage_window(days, times=1), text("Written."))
        env = {
            **session.environment("sk-late"),
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "ROVER_AGENT_CACHE": str(cache_folder() / "agents"),
        }
        with LauncherClient(home, repository, env) as first:
            first.open()
            task = first.tool("create_task", **{**CLAUDE, "agent": agent})["task"]["id"]
            pause = first.wait_until(task, "PAUSED")["pause"]
            assert pause["reason"] == "usage_window"
            assert days - 120 < pause["retry_in_s"] <= days + 120
            # The launcher first: it would start another daemon at once.
            kill(first.process.pid)
            first.process.wait()
            kill(daemon := daemon_pid(home))
        wait_until(lambda: not is_alive(daemon), "it is dead")
        # Not before: it would look while the first client still watches.
        settings(home, retry={**SOON, "look_again": 1})
        with LauncherClient(home, repository, env) as late:
            late.open()
            done = goes_on_to_its_end(late, task)
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "hi"
