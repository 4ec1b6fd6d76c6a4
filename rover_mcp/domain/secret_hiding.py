"""Takes secrets out of text that a person is about to pass on, such as a report. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rover_mcp.domain.secret_forms import Span
from rover_mcp.domain.secret_search import KnownValues, search_content, token_spans

HIDDEN: Final = "[hidden]"
_REST: Final = re.compile(rb"[A-Za-z0-9_.~+/=-]{0,4096}")
"""What may follow the part of a token by which it was recognised."""


def hide_secrets(text: str, known: KnownValues) -> str:
    """`text` with a mark in place of every known value and every token of a well-known form. Where
    one is encoded or in pieces, the lines that it begins on and may end on are left out. The number
    of lines stays the same."""
    data = text.encode("utf-8", "surrogatepass")
    spans = sorted([*known.spans(data), *_tokens(data), *_in_pieces(data, known)])
    if not spans:
        return text
    pieces: list[bytes] = []
    last = 0
    for begin, end in spans:
        if end <= last:
            continue
        start = max(begin, last)
        lines = data.count(b"\n", start, end)
        pieces += (data[last:start], HIDDEN.encode() + b"\n" * lines)
        last = end
    return b"".join([*pieces, data[last:]]).decode("utf-8", "surrogatepass")


def _tokens(data: bytes) -> Iterator[Span]:
    for _, begin, match in token_spans(data):
        rest = _REST.match(data, match.end())
        yield begin, rest.end() if rest else match.end()


def _in_pieces(data: bytes, known: KnownValues) -> Iterator[Span]:
    for hit in search_content(data, known):
        if hit.form != "plain":
            begin = data.rfind(b"\n", 0, hit.position) + 1
            end = data.find(b"\n", hit.position)
            end = data.find(b"\n", end + 1) if end >= 0 else -1
            yield begin, end if end >= 0 else len(data)
