"""Inserts one table into TOML text, or removes one, without changing any other byte. Pure.

It works on lines, as people write such files. Where that differs from what the parser reads (a
table that is written inline, a string of several lines that looks like a header), `plan` notices,
because it compares what is parsed before and after.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_HEADER = re.compile(r"[ \t]*\[")
Value = str | int | list[str]


def put(text: str, table: str, values: Mapping[str, Value | None]) -> str:
    """`text` with `values` in `[table]`; None removes a key. Its other lines stay."""
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if "\r\n" in text else "\n"
    new = {k: f"{k} = {_dump(v)}{newline}" for k, v in values.items() if v is not None}
    span = _span(lines, table)
    if span is None:
        gap = "" if not text else newline if text.endswith("\n") else newline * 2
        return f"{text}{gap}[{table}]{newline}{''.join(new.values())}"
    start, end = span
    kept: list[str] = []
    for line in lines[start + 1 : end]:
        key = line.partition("=")[0].strip()
        if key in values:
            kept += [new.pop(key)] if key in new else []
        else:
            kept.append(line)
    header = lines[start] if lines[start].endswith("\n") else lines[start] + newline
    return "".join([*lines[:start], header, *new.values(), *kept, *lines[end:]])


def take_out(text: str, table: str) -> str:
    """`text` without `[table]` and the tables inside it."""
    lines = text.splitlines(keepends=True)
    inside = re.compile(rf"[ \t]*\[{_name(table)}[ \t]*[.\]]")
    kept: list[str] = []
    dropping = False
    for line in lines:
        if _HEADER.match(line):
            dropping = inside.match(line) is not None
        if not dropping:
            kept.append(line)
    # The empty line that stood before it.
    if len(kept) < len(lines) and kept and dropping and not kept[-1].strip():
        kept.pop()
    return "".join(kept)


def _span(lines: list[str], table: str) -> tuple[int, int] | None:
    """The lines of a table: its header, and the first line that no longer belongs to it."""
    header = re.compile(rf"[ \t]*\[{_name(table)}[ \t]*\]")
    starts = [i for i, line in enumerate(lines) if header.match(line)]
    if not starts:
        return None
    start = starts[0]
    after = (i for i in range(start + 1, len(lines)) if _HEADER.match(lines[i]))
    return start, next(after, len(lines))


def _name(table: str) -> str:
    """A dotted name as a pattern that accepts any spaces and quotation marks."""
    parts = (rf"""["']?{re.escape(part)}["']?""" for part in table.split("."))
    return r"[ \t]*" + r"[ \t]*\.[ \t]*".join(parts)


def _dump(value: Value) -> str:
    # JSON's strings, numbers and lists of strings are TOML's too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
