"""Regenerates the snapshots: run `python -m tests.snapshots.update`, then read the diff."""

from __future__ import annotations

import json
from pathlib import Path

from rover_mcp.server.tools import TOOLS
from tests.protocol.opening import record

TOOLS_FILE = Path(__file__).parent / "tools.json"


def listed() -> list[dict[str, object]]:
    """The tools as `tools/list` sends them."""
    return [
        entry.tool.model_dump(mode="json", by_alias=True, exclude_none=True)
        for entry in TOOLS.values()
    ]


def tools_text() -> str:
    return json.dumps(listed(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TOOLS_FILE.write_text(tools_text(), "utf-8")
    record()
