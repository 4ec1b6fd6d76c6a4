"""Replaces invisible characters, as the least that is done to any text from outside."""

from __future__ import annotations


def only_printable(text: str, instead: str = "?") -> str:
    """`text` with `instead` in place of every character that is invisible or moves visible ones:
    control characters, line ends, overrides of the reading direction, joiners."""
    return "".join(c if c.isprintable() else instead for c in text)
