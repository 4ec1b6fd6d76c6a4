"""mcporter, a client that imports the servers of others, finds rover in the file that `rover setup`
writes for each of these, connects with what stands there, lists and calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.server.tools import TOOLS
from tests.clients.programs import bare_environment, mcporter, ran, set_up

pytestmark = pytest.mark.real_agent

KINDS = {
    "vscode": "vscode",
    "cursor": "cursor",
    "claude": "claude-code",
    "codex": "codex",
    "opencode": "opencode",
}
"""Our names of the clients, and mcporter's. It looks for Claude Desktop's servers in a file that
Claude Desktop does not have (`settings.json`): see test_claude_desktop.py."""


def answered(user: Path, *arguments: str | Path) -> dict[str, Any]:
    """What mcporter prints for this user."""
    return json.loads(ran([*mcporter(), *arguments], bare_environment(user), user).stdout)


@pytest.mark.parametrize("client", KINDS)
def test_it_imports_the_entry_connects_lists_and_calls(
    shared: Path, tmp_path: Path, client: str
) -> None:
    file = set_up(client, shared / "data", tmp_path)
    listed = answered(tmp_path, "list", "rover", "--json")
    source = {"kind": "import", "path": str(file), "importKind": KINDS[client]}
    assert (listed["status"], listed["source"]) == ("ok", source)
    assert {tool["name"] for tool in listed["tools"]} == set(TOOLS)
    assert answered(tmp_path, "call", "rover.list_tasks", "--output", "json")["tasks"] == []


def test_it_takes_the_file_for_claude_desktop_as_its_own(shared: Path, tmp_path: Path) -> None:
    file = set_up("claude-desktop", shared / "data", tmp_path)
    call = ("--config", file, "call", "rover.list_tasks", "--output", "json")
    assert answered(tmp_path, *call)["tasks"] == []
