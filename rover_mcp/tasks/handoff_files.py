"""Files that a program on the host runs or obeys later, without being asked about each of them.

An agent cannot leave its sandbox, but its branch can carry such a file to where a person, an editor
or another agent picks it up. So these files are shown first, each with what would run it.

The names are in hand_off_rules.py. Upper and lower case are the same. A link in the place of a
folder counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import translate
from functools import lru_cache

from rover_mcp.domain.text import visible_line
from rover_mcp.tasks.hand_off_rules import HAND_OFF_RULES
from rover_mcp.tasks.quoted_text import named
from rover_mcp.tasks.view_models import ChangesView


def _by_program() -> dict[str, tuple[str, ...]]:
    patterns: dict[str, tuple[str, ...]] = {}
    for rule in HAND_OFF_RULES:
        patterns[rule.who] = (*patterns.get(rule.who, ()), *rule.patterns)
    return patterns


HAND_OFF: Mapping[str, tuple[str, ...]] = _by_program()
"""What runs them, and the patterns. What runs without anything being asked for comes first."""

NAMED = 80
"""Characters of a file's name in a sentence."""

_ORDER = {who: place for place, who in enumerate(HAND_OFF)}


def _exact() -> dict[tuple[str, ...], str]:
    """The patterns without a star, by their parts."""
    exact: dict[tuple[str, ...], str] = {}
    for who, patterns in HAND_OFF.items():
        for pattern in patterns:
            if "*" not in pattern:
                exact.setdefault(tuple(pattern.lower().split("/")), who)
    return exact


def _globs() -> dict[str, re.Pattern[str]]:
    """The patterns with a star, as one expression for each program."""
    stars = {who: [p.lower() for p in all_of if "*" in p] for who, all_of in HAND_OFF.items()}
    return {who: re.compile("|".join(map(translate, some))) for who, some in stars.items() if some}


_EXACT, _GLOBS = _exact(), _globs()
_LONGEST = max(map(len, _EXACT))
_LINKS = {parts[:n]: who for parts, who in reversed(_EXACT.items()) for n in range(1, len(parts))}
"""Folders that lead to such a file: a change may put a link in their place."""


@lru_cache(maxsize=4096)
def run_by(path: str) -> str | None:
    """What may run this file of a repository, or None."""
    parts = tuple(path.lower().split("/"))
    return min(_found(parts), key=_ORDER.__getitem__, default=None)


def _found(parts: tuple[str, ...]) -> Iterator[str]:
    name = parts[-1]
    yield from (who for who, pattern in _GLOBS.items() if pattern.match(name))
    for start in range(len(parts)):
        for end in range(start + 1, min(len(parts), start + _LONGEST) + 1):
            some = parts[start:end]
            if end == len(parts):
                # A file of that name, or a link in the place of a folder.
                yield from (who for who in (_EXACT.get(some), _LINKS.get(some)) if who)
            elif (who := _EXACT.get((*some, ""))) is not None:
                yield who


def first_of_each(runs: Mapping[str, str]) -> list[str]:
    """The paths in an order in which each program's first file comes before any program's second,
    so that many files of one kind hide none of another."""
    count: Counter[str] = Counter()
    places: dict[str, tuple[int, int]] = {}
    for path, who in runs.items():
        places[path] = (count[who], _ORDER[who])
        count[who] += 1
    return sorted(runs, key=places.__getitem__)


def hand_off_warning(changes: ChangesView) -> list[str]:
    """A sentence about such files among what a task changed; nothing where there are none."""
    if not changes.run_by:
        return []
    shown = [(f.run_by, named(visible_line(f.path), NAMED)) for f in changes.paths if f.run_by]
    first = dict(reversed(shown))
    parts = [_program(who, count, first.get(who)) for who, count in changes.run_by.items()]
    return [f"Look at these before the branch is opened or checked out: {'; '.join(parts)}"]


def _program(who: str, count: int, path: str | None) -> str:
    """A program, its first file, and how many others it has."""
    if path is None or count > 1:
        others = f"{count} files" if path is None else f"{path} and {count - 1} more"
        return f"{others} (run by {who})"
    return f"{path} (run by {who})"
