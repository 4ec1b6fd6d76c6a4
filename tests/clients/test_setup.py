"""`rover setup --write`, and each real client reads what it wrote and connects."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import ClientMachine
from tests.clients.programs import BIN

pytestmark = pytest.mark.real_agent

Json = dict[str, Any]
PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
# codex and copilot list what is configured and connect to none.
CONNECTED = {
    "claude": r"rover: .*Connected",
    "codex": rf"(?m)^rover +{BIN}/rover-mcp .* enabled",
    "gemini": r"rover: .*Connected",
    "opencode": r"rover connected",
    "qwen": r"rover: .*Connected",
    "copilot": r"rover \(local\)",
}


def listed(desk: ClientMachine, client: str) -> str:
    """What the client says of its servers, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", desk.run(client, "mcp", "list"))


def actions(desk: ClientMachine, *argv: str) -> dict[str, str]:
    said = json.loads(desk.run(str(BIN / "rover"), "setup", "--json", *argv))
    return {r["client"]: r["action"] for r in said["clients"] if r["found"]}


def test_every_real_client_connects_with_what_setup_wrote(desk: ClientMachine) -> None:
    assert actions(desk) == dict.fromkeys(CONNECTED, "add"), "the programs on the path are found"
    assert not list(desk.home.iterdir()), "it wrote nothing unasked"
    actions(desk, "--write", "--home", str(desk.data))
    # One after the other: some give a server 5 s, and together they would take that from each other.
    for client, connected in CONNECTED.items():
        said = listed(desk, client)
        assert re.search(connected, said), f"{client}: {said}"

    again = actions(desk, "--home", str(desk.data))
    assert {again[client] for client in CONNECTED} == {"nothing"}, "what they rewrote is as good"


@pytest.mark.parametrize("client", ["codex", "gemini"])
def test_a_client_that_keeps_variables_to_itself_hands_the_keys_on(
    desk: ClientMachine, client: str
) -> None:
    """Both keep them from a server that was added by their own commands."""
    told = json.loads(desk.run(str(BIN / "rover"), "setup", "--json", "--write", client))
    config, seen = Path(told["clients"][0]["file"]), desk.home / "seen"
    noting = desk.home / "noting"
    noting.write_text(f'#!/bin/sh\nenv > {seen}.new; mv {seen}.new {seen}; exec rover-mcp "$@"\n')
    noting.chmod(0o755)
    text = config.read_text("utf-8")
    config.write_text(text.replace(str(BIN / "rover-mcp"), str(noting)), "utf-8")

    keys = {"ANTHROPIC_API_KEY": "sk-ant-mine", "OPENAI_API_KEY": "sk-mine"}
    if client == "codex":
        server = codex_server(desk, keys)
        assert server["title"] == "Rover"
        assert server["icons"][0]["src"].startswith("data:image/svg+xml,")
    else:
        assert re.search(CONNECTED["gemini"], desk.run("gemini", "mcp", "list", **keys))
    handed = dict(line.split("=", 1) for line in seen.read_text("utf-8").splitlines())
    assert {name: handed.get(name) for name in keys} == keys
    assert not handed.get("GEMINI_API_KEY"), "what there is not is not made up"


def codex_server(desk: ClientMachine, keys: dict[str, str]) -> Json:
    """What Codex's app server says of its one server, once it has connected to it; its
    `mcp list` connects to none."""
    asked = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t", "version": "1"}}},
        {"method": "initialized"},
        {"id": 2, "method": "mcpServerStatus/list", "params": {}},
    ]
    environ = {"HOME": str(desk.home), "PATH": desk.path, "ROVER_HOME": str(desk.data), **keys}
    with subprocess.Popen(
        ["codex", "app-server"], env=environ, cwd=desk.home, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("".join(f"{json.dumps(message)}\n" for message in asked))
        server.stdin.flush()
        answer = next((line for line in server.stdout if line.startswith('{"id":2')), "")
        server.kill()
    return json.loads(answer)["result"]["data"][0]["serverInfo"]


@pytest.mark.parametrize("client", ["claude", "codex", "gemini", "qwen", "copilot"])
def test_the_line_of_the_page_is_run_by_the_client_and_is_found_as_ours(
    desk: ClientMachine, client: str
) -> None:
    line = re.search(rf"`({client} mcp add [^`]+)`", PAGE.read_text("utf-8"))
    assert line
    argv = shlex.split(line[1].replace("/path/to/rover-mcp", str(BIN / "rover-mcp")))
    desk.run(*argv)
    enough = client in ("claude", "copilot")
    assert actions(desk, client) == {client: "nothing" if enough else "change"}
