"""The blocks in docs/clients.md are what `rover setup` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rover_mcp.assistants.config_change import block
from rover_mcp.assistants.known import CLIENTS, Machine

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
SHOWN = "/path/to/rover-mcp"
MACHINE = Machine(Path("~"), {}, "linux")


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_has_its_block_on_the_page(name: str) -> None:
    client = CLIENTS[name]
    kind = "toml" if client.toml else "json"
    wanted = f"```{kind}\n{block(client, [SHOWN])}```\n"
    section = PAGE.partition(f"\n## {client.title}\n")[2].partition("\n## ")[0]
    assert wanted in section
    assert f"`{client.files(MACHINE)[0]}`" in section


def test_the_page_names_the_command_of_each_client_that_has_one() -> None:
    lines = re.compile(
        r"`((?:claude|codex|gemini|qwen|copilot) mcp add [^`]+|code --add-mcp [^`]+)`"
    )
    assert len(lines.findall(PAGE)) == 6
