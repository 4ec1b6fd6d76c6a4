"""The blocks in README.md and docs/clients.md are what `rover setup` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rover_mcp.clients.known import CLIENTS, Machine
from rover_mcp.clients.plan import block

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
SHOWN = "/path/to/rover-mcp"
MACHINE = Machine(Path("~"), {}, "linux")


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_has_its_block_on_both_pages(name: str) -> None:
    client = CLIENTS[name]
    kind = "toml" if client.toml else "json"
    wanted = f"```{kind}\n{block(client, [SHOWN])}```\n"
    section = PAGE.partition(f"\n## {client.title}\n")[2].partition("\n## ")[0]
    folded = README.partition(f"<summary>{client.title}</summary>")[2].partition("</details>")[0]
    for text in (section, folded):
        assert wanted in text
        assert f"`{client.files(MACHINE)[0]}`" in text


def test_both_pages_name_the_same_commands() -> None:
    lines = re.compile(
        r"`((?:claude|codex|gemini|qwen|copilot) mcp add [^`]+|code --add-mcp [^`]+)`"
    )
    assert len(lines.findall(PAGE)) == 6
    assert sorted(lines.findall(PAGE.replace("\n", " "))) == sorted(lines.findall(README))
