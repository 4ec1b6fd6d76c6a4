"""What a sandbox was refused, as a user sees it: from curl inside to `rover inspect`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import end_daemon
from tests.support.certificates import server_context
from tests.support.frames import LauncherClient
from tests.support.repos import git
from tests.support.trusting import trust

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
        command = [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(home)]
        command += ["inspect", task["id"], "--full"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "not-allowed.example:443  3 times" in shown
        assert "to allow it:" in shown


IN_A_COMPANY = """\
version: "1.0"
name: look
description: look for the company's authority, and for its proxy
steps:
  - id: look
    type: command
    name: Look
    command: |
      for file in "$SSL_CERT_FILE" "$NODE_EXTRA_CA_CERTS" "$REQUESTS_CA_BUNDLE" "$GIT_SSL_CAINFO"
      do test "$(grep -c "BEGIN CERTIFICATE" "$file")" -gt 20 || exit 1; done
      test "$(cat ~/seen)" -gt 20 && echo AUTHORITY
      (env; cat /proc/*/environ /rover/spec/* "$HOME"/.* 2>&1) | tr '\\0' '\\n' > /tmp/all
      if grep -e 's3cr[e]t' -e 'PRIVATE K[E]Y' -e 'proxy[.]compan[y]' /tmp/all; then exit 1; fi
"""


@pytest.mark.parametrize("engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_sandbox_trusts_the_companys_authority_and_never_sees_its_proxy(
    home: Path, repository: Path, tmp_path: Path, engine: str
) -> None:
    """M2: the proxy's password and the way around the gateway stay outside."""
    server_context(tmp_path / "company.pem")
    folder = repository / ".rover" / "workflows"
    folder.mkdir(parents=True)
    (folder / "look.yaml").write_text(IN_A_COMPANY)
    set_up = repository / ".rover" / "setup.sh"
    set_up.write_text('grep -c "BEGIN CERTIFICATE" "$PIP_CERT" > ~/seen\n')
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "asks")
    trust(home, repository)
    env = {
        "NODE_EXTRA_CA_CERTS": str(tmp_path / "company.pem"),
        "HTTPS_PROXY": "http://reviewer:s3cret@proxy.company.example:3128",
    }
    with LauncherClient(home, repository, env) as client:
        client.open()
        task = client.tool(
            "create_task",
            description="Look",
            workflow="look",
            agent="scripted",
            engine=engine,
        )["task"]
        client.wait_until(task["id"], "COMPLETED")
        assert "AUTHORITY" in client.tool("get_logs", task=task["id"], step="look")["text"]
