"""Skills over MCP (SEP-2640) in raw frames, in both eras."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rover_mcp.server.tools import TOOLS
from tests.support.frames import LEGACY, MODERN, LauncherClient

EXTENSION = "io.modelcontextprotocol/skills"
URI = "skill://rover/delegate/SKILL.md"
FILE = Path(__file__).parents[2] / "plugins" / "rover" / "skills" / "delegate" / "SKILL.md"


@pytest.fixture(scope="module", params=[LEGACY, MODERN])
def client(request: pytest.FixtureRequest, shared: Path) -> Iterator[LauncherClient]:
    with LauncherClient(shared / "data", shared / "repo") as opened:
        opened.open(request.param)
        yield opened


def test_the_extension_is_declared_where_it_can_be(client: LauncherClient) -> None:
    """`initialize` of the older protocol versions has no place for it."""
    if client.era == MODERN:
        capabilities = client.request("server/discover")["result"]["capabilities"]
        assert capabilities["extensions"][EXTENSION] == {}, "it lists no directories"
        assert "resources" in capabilities


def test_the_skill_is_listed_with_its_frontmatter_and_digests(
    client: LauncherClient,
) -> None:
    """14-13."""
    result = client.request("skills/list", {})["result"]
    (entry,) = result["skills"]
    content = FILE.read_bytes()
    assert entry == {
        "uri": URI,
        "frontmatter": yaml.safe_load(content.split(b"---\n")[1]),
        "resources": [
            {
                "uri": URI,
                "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
                "size": len(content),
            }
        ],
    }
    assert URI.split("/")[-2] == entry["frontmatter"]["name"]
    if client.era == MODERN:
        assert result["resultType"] == "complete"
        assert result["ttlMs"] > 0
        assert result["cacheScope"] == "public"


def test_get_gives_the_same_entry_and_refuses_what_is_no_skill(client: LauncherClient) -> None:
    (entry,) = client.request("skills/list", {})["result"]["skills"]
    assert client.request("skills/get", {"uri": URI})["result"]["skill"] == entry
    for wrong in ("skill://rover/delegate", "skill://delegate/SKILL.md", "rover://tasks", ""):
        assert client.request("skills/get", {"uri": wrong})["error"]["code"] == -32602
    assert client.request("skills/get", {})["error"]["code"] == -32602
    assert client.request("skills/list", {"cursor": "x"})["error"]["code"] == -32602


def test_its_file_is_read_byte_for_byte_as_a_resource(client: LauncherClient) -> None:
    (content,) = client.request("resources/read", {"uri": URI})["result"]["contents"]
    assert content == {
        "uri": URI, "mimeType": "text/markdown", "text": FILE.read_text("utf-8")
    }  # fmt: skip
    (listed,) = (
        resource
        for resource in client.request("resources/list")["result"]["resources"]
        if resource["uri"].startswith("skill://")
    )
    assert (listed["name"], listed["mimeType"]) == ("delegate", "text/markdown")
    assert listed["description"].startswith("Hand a coding task")
    for wrong in (f"{URI}/../SKILL.md", "skill://rover/delegate", "skill://rover/delegate/x.md"):
        assert "error" in client.request("resources/read", {"uri": wrong})


def test_it_costs_no_tool(client: LauncherClient) -> None:
    listed = client.request("tools/list")["result"]["tools"]
    assert [tool["name"] for tool in listed] == list(TOOLS)
    assert "skill://" not in str(listed)
