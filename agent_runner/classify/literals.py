"""Rewrites what agents print of a provider's answer in the notation of their own language. Pure.

Programs in Python print `{'error': {'message': '...'}}` or `b'{"error": ...}'`, those in Rust
`Some(Object {"message": String("...")})`. JSON, or the words alone, stand for it here, so that the
rest of this package has one notation to read. The regular expressions are linear, and only
literals are evaluated.
"""

from __future__ import annotations

import ast
import json
import re

MOST = 8000
"""Characters of one literal, at most."""

DEEPEST = 20

_BYTES = re.compile(rf"(?<!\w)b(?:'(?:[^'\\]|\\.){{2,{MOST}}}'|\"(?:[^\"\\]|\\.){{2,{MOST}}}\")")
_RUST = re.compile(r"\b(?:Some|String)\(\"((?:[^\"\\]|\\.){1,4000})\"\)")
_RUST_KEY = re.compile(r"\"(\w{1,40})\": ")


def in_json(text: str) -> str:
    """A message in which the first object, and all texts of Rust's, are readable."""
    text = _BYTES.sub(lambda match: _decoded(match[0]), text)
    if _RUST.search(text):
        return _RUST_KEY.sub(r"\1: ", _RUST.sub(lambda match: _unescaped(match[1]), text))
    start = text.find("{'")
    end = _end_of_object(text, start) if start >= 0 else None
    if end is None:
        return text
    value = _evaluated(text[start:end])
    return text if not isinstance(value, dict) else text[:start] + json.dumps(value) + text[end:]


def _decoded(literal: str) -> str:
    value = _evaluated(literal)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else literal


def _unescaped(inner: str) -> str:
    return inner.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")


def _evaluated(literal: str) -> object:
    try:
        return ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _end_of_object(text: str, start: int) -> int | None:
    """Where an object of Python's ends; None if it does not, or is nested too deeply."""
    depth, quote, position = 0, "", start
    for position in range(start, min(len(text), start + MOST)):
        char = text[position]
        escaped = quote and text[position - 1] == "\\" and text[position - 2] != "\\"
        if quote:
            quote = "" if char == quote and not escaped else quote
        elif char in "'\"":
            quote = char
        elif char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
        if depth > DEEPEST:
            return None
        if depth == 0:
            return position + 1
    return None
