"""docs/troubleshooting.md quotes texts that the code says."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
QUOTED = re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE)


@functools.cache
def said() -> str:
    """Every text in the sources, with a line end where a value is filled in."""
    texts: list[str] = []
    for package in ("rover_mcp", "agent_runner"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (p.value if isinstance(p, ast.Constant) else "\n" for p in node.values)
                    texts.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return "\n\n".join(texts)


@pytest.mark.parametrize("quoted", QUOTED)
def test_each_quoted_text_is_said(quoted: str) -> None:
    pattern = re.sub(r"\b[A-Z]{2,}\b", "\n", quoted)
    assert pattern.strip("\n") in said(), f"nothing says {quoted!r}"


def test_there_is_something_to_check() -> None:
    assert len(QUOTED) > 15
