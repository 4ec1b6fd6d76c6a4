"""What the launcher answers while the daemon takes its time to start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rover_mcp.launcher.cold_start import ColdStart
from rover_mcp.launcher.session_replay import Conversation, encode
from tests.support.frames import MODERN, envelope
from tests.unit.launcher.conftest import Launch

READS = {
    "get_diff", "get_history", "get_logs", "get_status", "inspect", "list_tasks", "list_workflows",
    "wait_for_task",
}  # fmt: skip
SLOW = {"STUB": "slow", "STUB_PATIENCE": "0.1"}


def names(answer: dict[str, Any]) -> set[str]:
    return {tool["name"] for tool in answer["result"]["tools"]}


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_a_session_opened_before_the_daemon_runs_continues_with_it(
    launch: Launch, home: Path, version: str
) -> None:
    launcher = launch(**SLOW)
    launcher.request("i", "initialize", protocolVersion=version, capabilities={})
    opened = launcher.read()
    assert (opened["id"], opened["result"]["protocolVersion"]) == ("i", version)
    assert opened["result"]["serverInfo"]["name"] == "rover"
    launcher.notify("notifications/initialized")
    launcher.request(1, "ping")
    assert launcher.read() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    launcher.request(2, "tools/list")
    assert names(launcher.read()) > READS | {"create_task", "delete_task"}
    launcher.request(3, "tools/call", name="list_tasks")
    (home / "stub.go").touch()
    answer = launcher.read()
    assert answer["id"] == 3
    assert answer["result"]["seen"] == ["initialize", "notifications/initialized", "tools/call"]


def test_a_client_of_2026_is_answered_in_its_own_way(launch: Launch, home: Path) -> None:
    launcher = launch(**SLOW)
    launcher.request(1, "server/discover", _meta=envelope())
    assert launcher.read()["result"]["supportedVersions"] == [MODERN]
    launcher.request(2, "tools/list", _meta=envelope())
    listed = launcher.read()
    assert listed["result"]["resultType"] == "complete"
    assert names(listed) > READS
    launcher.request(3, "tools/call", _meta=envelope(), name="list_tasks")
    (home / "stub.go").touch()
    assert launcher.read()["result"]["seen"] == ["tools/call"]


def test_who_is_offered_less_is_offered_less_here_too(launch: Launch, home: Path) -> None:
    launcher = launch("--read-only", **SLOW)
    launcher.request(1, "tools/list", _meta=envelope())
    assert names(launcher.read()) == READS


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("initialize", {"protocolVersion": "1999-01-01"}),
        ("initialize", {}),
        ("server/discover", {"_meta": {}}),
        ("tools/list", {}),
        ("ping", {}),
        ("tools/list", {"_meta": envelope(), "cursor": "x"}),
    ],
)
def test_what_is_not_known_for_sure_waits_for_the_daemon(
    launch: Launch, home: Path, method: str, params: dict[str, Any]
) -> None:
    launcher = launch(**SLOW)
    launcher.request(1, method, **params)
    launcher.request(2, "tools/list", _meta=envelope())
    assert launcher.read()["id"] == 2, "this one is answered at once, that one waits"
    (home / "stub.go").touch()
    answer = launcher.read()
    assert (answer["id"], answer["result"]["seen"]) == (1, [method])


def test_a_setting_that_changes_the_answer_is_heeded(home: Path) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    frame = encode({**asked, "params": {"protocolVersion": "2025-11-25", "capabilities": {}}})
    home.mkdir()
    assert ColdStart(str(home), Conversation()).answer(frame) is not None
    (home / "config.yaml").write_text("claude_channel: true\n")
    assert ColdStart(str(home), Conversation()).answer(frame) is None


def test_where_no_daemon_runs_the_first_questions_are_answered_at_once(
    launch: Launch, home: Path
) -> None:
    """Headless Codex waits for no server that is slow; a test of the patience would never end."""
    launcher = launch("--read-only", STUB="slow", STUB_PATIENCE="3600")
    launcher.request("i", "initialize", protocolVersion="2025-06-18", capabilities={})
    assert launcher.read()["result"]["serverInfo"]["name"] == "rover"
    launcher.request(1, "tools/list")
    assert names(launcher.read()) == READS
    (home / "stub.go").touch()
