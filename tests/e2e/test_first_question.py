"""A list without a daemon: answered while the daemon that was started for it still starts (B.9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.client import McpClient, SocketChannel
from rover_mcp.launcher.daemon_client import dial
from rover_mcp.launcher.handshake import CLI
from tests.e2e.conftest import daemon_pid

LIST: dict[str, Any] = {"tool": "list_tasks", "arguments": {}}


def test_a_cold_list_is_answered_first_and_the_same_daemon_serves_on(home: Path) -> None:
    first = McpClient.connect(str(home), asks=LIST)
    assert first.answer == {"attention": [], "tasks": []}
    first.close()
    pid = daemon_pid(home)
    # It serves now, and answers a list as any other call.
    second = McpClient.connect(str(home), asks=LIST)
    assert second.answer is None
    assert second.call("list_tasks") == first.answer
    second.close()
    assert daemon_pid(home) == pid


@pytest.mark.parametrize("tool", ["get_status", "nonsense"])
def test_a_question_that_needs_the_whole_daemon_waits_for_it(home: Path, tool: str) -> None:
    connection = dial(CLI, home=str(home), asks={"tool": tool, "arguments": {}})
    assert not connection.answered
    client = McpClient(SocketChannel(connection.sock, connection.rest))
    client.initialize()
    assert client.call("list_tasks")["tasks"] == []
    client.close()
