"""What a sandbox was refused, as a user sees it: from curl inside to `rover inspect` (DESIGN 9)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import end_daemon
from tests.support.frames import LauncherClient

WORKFLOW = """\
version: "1.0"
name: ask
description: ask for hosts that are not allowed
steps:
  - id: ask
    type: command
    name: Ask
    command: |
      for i in 1 2 3; do curl -sSi https://not-allowed.example/; done
      curl -sS http://169.254.169.254/latest/meta-data/
"""


def test_refused_hosts_are_shown_with_what_would_allow_them(home: Path, repository: Path) -> None:
    """Names are judged before they are looked up: nothing leaves this machine."""
    folder = repository / ".rover" / "workflows"
    folder.mkdir(parents=True)
    (folder / "ask.yaml").write_text(WORKFLOW)
    with LauncherClient(home, repository) as client:
        client.open()
        task = client.tool(
            "create_task", description="Ask", workflow="ask", agent="scripted", engine="bubblewrap"
        )["task"]
        done = client.wait_until(task["id"], "COMPLETED")
        assert done["network"] == "allowlist"
        log = client.tool("get_logs", task=task["id"], step="ask")["text"]
        assert "403 Forbidden (Rover: not-allowed.example is not on the allow-list" in log
    end_daemon(home)
    with LauncherClient(home, repository) as client:
        client.open()
        concise = client.tool("inspect", task=task["id"])["task"]
        assert "refused not-allowed.example:443" in " ".join(concise["warnings"])
        full = client.tool("inspect", task=task["id"], detail="full")["task"]
        name, address = full["refused"]
        assert (name["host"], name["count"]) == ("not-allowed.example:443", 3)
        assert name["remedy"].startswith('"not-allowed.example" in network.allow of config.yaml')
        assert address["host"] == "169.254.169.254:80"
        assert "remedy" not in address or address["remedy"] is None
        command = [sys.executable, "-m", "rover_mcp.cli.main", "--home", str(home)]
        command += ["inspect", task["id"], "--full"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "not-allowed.example:443  3 times" in shown
        assert "to allow it:" in shown
