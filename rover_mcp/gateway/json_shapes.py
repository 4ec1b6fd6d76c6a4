"""Describes shapes of JSON values, for allow-lists of what may be forwarded. Pure.

A `Shape` checks a value, raises `NotListed` at the first thing in it that is not on its list, and
returns the value as it may be forwarded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

MAX_NAMED = 80
"""Characters of a request's own text that a message shows."""

Shape = Callable[[object, str], object]


class NotListed(Exception):
    """Something that is not on the list. `where` holds no positions, so that the same refusal has
    the same name wherever it occurs."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


def anything(value: object, _where: str) -> object:
    """Accept data that the API only passes on to the model or back, without looking into it."""
    return value


def plain(value: object, where: str) -> object:
    """Accept a string, a number, a boolean or null, or a list of such values."""
    parts = cast(list[object], value) if isinstance(value, list) else [value]
    if any(isinstance(part, dict | list) for part in parts):
        raise NotListed(where)
    return cast(object, value)


def plains(names: str) -> dict[str, Shape]:
    """Fields with plain values, by their names."""
    return dict.fromkeys(names.split(), plain)


def flat(value: object, where: str) -> object:
    """Accept an object that holds nothing but plain values, or a plain value."""
    if not isinstance(value, dict):
        return plain(value, where)
    for name, part in cast(dict[str, object], value).items():
        plain(part, below(where, name))
    return cast(object, value)


def only(*allowed: object) -> Shape:
    """Accept one of these values."""

    def shape(value: object, where: str) -> object:
        # Types first: to Python 1 == True and 0 == False, to a provider they differ.
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise NotListed(f"{where}: {shown(value)}")
        return value

    return shape


def text(pattern: str) -> Shape:
    """Accept a string that the pattern matches from its beginning to its end."""
    compiled = re.compile(pattern, re.ASCII | re.IGNORECASE | re.DOTALL)

    def shape(value: object, where: str) -> object:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise NotListed(f"{where}: {shown(value)}")
        return value

    return shape


def each(inner: Shape) -> Shape:
    """Accept a list whose parts all have the inner shape."""

    def shape(value: object, where: str) -> object:
        if not isinstance(value, list):
            raise NotListed(where)
        return [inner(part, f"{where}[]") for part in cast(list[object], value)]

    return shape


def text_or(inner: Shape) -> Shape:
    """Accept a string, null, or what has the other shape."""

    def shape(value: object, where: str) -> object:
        return value if value is None or isinstance(value, str) else inner(value, where)

    return shape


def fields(known: Mapping[str, Shape], name_of: Callable[[str], str] = str) -> Shape:
    """Accept an object with these fields and no others. `name_of` turns the spellings that an API
    takes into one."""

    def shape(value: object, where: str) -> object:
        if not isinstance(value, dict):
            raise NotListed(where)
        passed: dict[str, Any] = {}
        for name, part in cast(dict[str, object], value).items():
            inner = known.get(name_of(name))
            if inner is None:
                raise NotListed(below(where, name))
            passed[name] = inner(part, below(where, name))
        return passed

    return shape


def typed(known: Mapping[str, Shape], default: str | None = None) -> Shape:
    """Accept an object by the shape that its `type` names; without a `type`, the default's."""

    def shape(value: object, where: str) -> object:
        if not isinstance(value, dict):
            raise NotListed(where)
        kind = cast(dict[str, object], value).get("type", default)
        inner = known.get(kind) if isinstance(kind, str) else None
        if inner is None:
            raise NotListed(f"{where}: type {shown(kind)}")
        return inner(cast(object, value), where)

    return shape


def below(where: str, name: str) -> str:
    return f"{where}.{name[:MAX_NAMED]}" if where else name[:MAX_NAMED]


def shown(value: object) -> str:
    return str(value)[:MAX_NAMED] if isinstance(value, str | int | float | None) else "an object"
