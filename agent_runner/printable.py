"""The characters of a text that show: the least that any text from outside goes through."""

from __future__ import annotations


def only_printable(text: str, instead: str = "?") -> str:
    """`text` with `instead` for every character that does not show or that moves what does:
    control characters, line ends, overrides of the reading direction, joiners."""
    return "".join(c if c.isprintable() else instead for c in text)
