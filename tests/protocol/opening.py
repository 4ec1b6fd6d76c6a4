"""What the daemon answers to what clients ask first: `python -m tests.snapshots.update` records it
in rover_mcp/launcher/cold_start.json, from which the launcher answers while a daemon starts."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from rover_mcp.launcher.cold_start import RECORDED
from rover_mcp.server.tools import TOOLS
from tests.e2e.conftest import end_daemon
from tests.support.frames import MODERN, Frame, LauncherClient

OLD = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


def told(home: Path) -> dict[str, Any]:
    """What the daemon says, as the file has it."""
    with LauncherClient(home, Path("/")) as client:
        client.open()
        client.tool("list_tasks")  # from here on it runs, and answers itself
    sessions = [_legacy(home, version) for version in OLD]
    assert all(session == sessions[0] for session in sessions), "the versions differ"
    with LauncherClient(home, Path("/")) as client:
        discovered = client.open(MODERN)
        listed = client.request("tools/list")["result"]
    legacy, modern = {"versions": list(OLD), **sessions[0]}, {"versions": [MODERN]}
    modern |= {"server/discover": discovered, "tools/list": listed}
    tools = listed.pop("tools")
    assert legacy["tools/list"].pop("tools") == tools, "the eras differ"
    sets = {name: entry.tool_set for name, entry in TOOLS.items()}
    return {"legacy": legacy, "modern": modern, "sets": sets, "tools": tools}


def _legacy(home: Path, version: str) -> Frame:
    with LauncherClient(home, Path("/")) as client:
        info = {"name": "frames", "version": "1"}
        asked = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
        opened = client.request("initialize", asked)["result"]
        assert opened.pop("protocolVersion") == version
        client.notify("notifications/initialized")
        return {"initialize": opened, "tools/list": client.request("tools/list")["result"]}


def record() -> None:
    """Regenerate the file, with a daemon that is started for it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            recorded = told(Path(folder))
        finally:
            end_daemon(Path(folder))
    Path(RECORDED).write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", "utf-8")
