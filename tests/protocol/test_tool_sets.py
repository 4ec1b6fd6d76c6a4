"""A server that is started with fewer tools offers, and does, nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import wait_until
from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.scripts import CREDITS, script

READS = {
    "get_diff", "get_history", "get_logs", "get_status", "inspect", "list_tasks", "list_workflows",
    "wait_for_task",
}  # fmt: skip


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_read_only_server_changes_nothing(shared: Path, era: str) -> None:
    home, repo = shared / "data", shared / "repo"
    with LauncherClient(home, repo, arguments=["--read-only"]) as client:
        client.capabilities = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
        client.open(era)
        assert {t["name"] for t in client.request("tools/list")["result"]["tools"]} == READS
        call = {"name": "create_task", "arguments": {"description": "x"}}
        assert "not offered here" in client.request("tools/call", call)["error"]["message"]
        for method, params in (
            ("rover/images", {"action": "prune", "confirm": True}),
            ("rover/hooks", {}),
            ("rover/forget", {"confirm": True}),
            ("rover/checkout", {"confirm": True}),
            ("rover/shell", {}),
        ):
            assert client.request(method, params)["error"]["code"] == -32601
        assert client.tool("list_tasks")["tasks"] == []


def test_a_read_only_client_is_told_of_no_call_that_it_cannot_make(shared: Path) -> None:
    home, repo = shared / "data", shared / "repo"
    with LauncherClient(home, repo) as maker:
        maker.open()
        task = maker.tool(
            "create_task", description="pauses", agent="scripted", engine="bubblewrap",
            workflow="quick", script=script(implement=[{"error": CREDITS}]),
        )["task"]["id"]  # fmt: skip
        with LauncherClient(home, repo, arguments=["--read-only"]) as client:
            client.open()
            attention: list[Frame] = []
            wait_until(
                lambda: attention.extend(client.tool("get_status")["attention"]) or attention,
                "the pause is told",
            )
            assert [event["event"] for event in attention] == ["task.paused"]
            assert "resume" not in attention[0]
            call = {"name": "wait_for_task", "arguments": {"task": task}}
            told = client.request("tools/call", call)["result"]
            assert told["structuredContent"]["returned"] == "paused"
            assert {a["tool"] for a in told["structuredContent"]["task"]["next_actions"]} <= READS
            assert "Next: get_diff" in told["content"][0]["text"]
            for uri in ("rover://tasks", f"rover://tasks/{task}"):
                (content,) = client.request("resources/read", {"uri": uri})["result"]["contents"]
                assert "resume_task" not in content["text"], uri
        assert maker.tool("inspect", task=task)["task"]["next_actions"][0]["tool"] == "resume_task"
        maker.tool("cancel_task", task=task)


def test_a_read_only_client_of_the_tasks_extension_cannot_cancel(shared: Path) -> None:
    home, repo = shared / "data", shared / "repo"
    with LauncherClient(home, repo) as maker:
        maker.open()
        task = maker.tool(
            "create_task", description="wait", agent="scripted", engine="bubblewrap",
            workflow="quick", script='{"steps": {"implement": [{"delay": 600}]}}',
        )["task"]["id"]  # fmt: skip
        with LauncherClient(home, repo, arguments=["--tools", "read,admin"]) as client:
            client.capabilities = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
            client.open(MODERN)
            assert client.request("tasks/get", {"taskId": task})["result"]["status"] == "working"
            assert client.request("tasks/cancel", {"taskId": task})["error"]["code"] == -32602
        assert maker.tool("inspect", task=task)["task"]["status"] != "CANCELLED"
        maker.tool("cancel_task", task=task)


def test_the_variable_means_the_same_as_the_option(shared: Path) -> None:
    env = {"ROVER_TOOLS": "read, admin"}
    with LauncherClient(shared / "data", shared / "repo", env) as client:
        client.open()
        named = {t["name"] for t in client.request("tools/list")["result"]["tools"]}
    changing = {"delete_task", "merge_task", "rebase_task", "push_task", "set_auto_resume"}
    assert named == READS | changing


def test_a_set_in_the_variable_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    """A server without a tool would look as if all was well."""
    command = [sys.executable, "-m", "rover_mcp.launcher.main", "--home", str(tmp_path)]
    env = {**os.environ, "ROVER_TOOLS": "reed"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=HANG_SECONDS, env=env,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert "rover-mcp: 'reed' is not a set of tools; choose from read, run, admin" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--tools", "reed"], ["--tools"], ["--tools", ""], ["--http", "--read-only"]]
)
def test_a_set_that_is_none_is_refused_at_once(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "rover_mcp.launcher.main", "--home", str(tmp_path), *arguments]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert "rover-mcp: " in done.stderr
