"""The result of `rover usage` as CSV (RFC 4180), safe to open in a spreadsheet. Pure."""

from __future__ import annotations

import csv
import io
from typing import Final

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import clean

_COUNTS: Final = (
    "tasks", "calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "cost_usd", "unpriced_tokens", "estimated_calls",
)  # fmt: skip
_FORMULA: Final = tuple("=+-@\t\r＝＋－＠")
"""What a spreadsheet takes for the beginning of a formula; some programs also the wide forms."""


def usage_csv(result: Json) -> str:
    """A header, and a record for each group. A cost is empty if no price is known; the tokens that
    it leaves out are in `unpriced_tokens`."""
    by: str = result["by"]
    names = ("number", "title", "project") if by == "task" else ()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([by, *names, *_COUNTS])
    for group in result["groups"]:
        texts = [safe_cell(group.get(name, "")) for name in ("key", *names)]
        writer.writerow([*texts, *(_number(group[name]) for name in _COUNTS)])
    return out.getvalue()


def safe_cell(value: object) -> str:
    """A text as a cell that no spreadsheet takes for a formula, and no terminal obeys: an
    apostrophe goes before what would begin one."""
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _number(value: float | None) -> str:
    if value is None:
        return ""
    # Not in the notation with an exponent, which some programs read as a text.
    return str(value) if isinstance(value, int) else f"{value:.6f}"
