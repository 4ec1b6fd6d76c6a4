"""The bundle for Claude Desktop: checked and resolved by the real tool; what is in it serves."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bundle.__main__ import build
from rover_mcp.cli.client import McpClient, PipeChannel
from tests.clients.conftest import ClientMachine
from tests.clients.programs import BIN, dependency_wheels
from tests.support.mcpb import mcpb, resolved

Json = dict[str, Any]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as the tool unpacks it."""
    folder = tmp_path_factory.mktemp("bundle")
    mcpb("unpack", str(build(folder)), str(folder / "in"))
    return folder / "in"


def manifest(unpacked: Path) -> Json:
    return json.loads((unpacked / "manifest.json").read_text("utf-8"))


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    one, other = build(tmp_path / "1"), build(tmp_path / "2")
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size < 2_000_000
    with zipfile.ZipFile(one) as archive:
        assert [Path(name).suffix for name in archive.namelist()] == [".png", ".json", ".whl"]


def test_the_tool_finds_nothing_wrong_with_its_manifest(unpacked: Path) -> None:
    said = mcpb("validate", str(unpacked / "manifest.json"))
    assert "Manifest schema validation passes!" in said
    assert (unpacked / manifest(unpacked)["server"]["entry_point"]).is_file()


def test_keys_are_secrets_and_one_that_is_not_given_arrives_empty(unpacked: Path) -> None:
    said = manifest(unpacked)
    assert all(option["sensitive"] for option in said["user_config"].values())
    made = resolved(said, unpacked, {"anthropic_api_key": "sk-ant-mine"})
    assert made["env"] == {
        "ANTHROPIC_API_KEY": "sk-ant-mine",
        "OPENAI_API_KEY": "",
        "GEMINI_API_KEY": "",
    }
    assert made["command"] == "uvx"
    source, wheel, program = made["args"]
    assert (source, program) == ("--from", "rover-mcp")
    assert Path(wheel).is_file()


def test_its_command_installs_the_wheel_and_serves(unpacked: Path, desk: ClientMachine) -> None:
    """uvx itself, whose cache is empty, as at a user's first start; the dependencies come from a
    folder in place of an index."""
    run = resolved(manifest(unpacked), unpacked, {})
    environ = {
        **run["env"], "PATH": desk.path, "HOME": str(desk.home), "ROVER_HOME": str(desk.data),
        "UV_CACHE_DIR": str(desk.home / "cache"), "UV_PYTHON": sys.executable,
        "UV_OFFLINE": "1", "UV_FIND_LINKS": str(dependency_wheels()),
    }  # fmt: skip
    with subprocess.Popen(
        [BIN / run["command"], *run["args"]], cwd=desk.home, env=environ,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as launcher:  # fmt: skip
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        client = McpClient(PipeChannel(launcher.stdin.fileno(), launcher.stdout.fileno()))
        assert client.initialize()["serverInfo"]["version"] == manifest(unpacked)["version"]
        tools = [tool["name"] for tool in client.request("tools/list", {})["tools"]]
        workflows = client.call("list_workflows")["workflows"]
        launcher.stdin.close()
    assert launcher.returncode == 0
    assert sorted(tools) == [tool["name"] for tool in manifest(unpacked)["tools"]]
    assert {"swe", "quick"} <= {workflow["name"] for workflow in workflows}
