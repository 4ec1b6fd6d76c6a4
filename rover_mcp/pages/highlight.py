"""Colours code by its language. What cannot be coloured quickly is shown without colours."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LONGEST_LINE: Final = 500
MOST_CHARACTERS: Final = 8_000
"""Characters that are coloured at once. A language's patterns may take time that grows with the
square of what they are given: this bounds it."""
_CLASSES: Final = ("k", "s", "c", "m", "n")
"""Of the names that a token may have, those that the pages' style knows: keywords, strings,
comments, numbers, names; of each the first letter."""
_NAMES: Final = frozenset({"nf", "nc", "nd", "nt", "nb", "bp", "na"})


def lexer_for(path: str) -> Lexer | None:
    """What knows the language of a file with this name, if anything does."""
    return _by_ending(path.rpartition("/")[2].rpartition(".")[2], path.rpartition("/")[2])


def code_lines(lexer: Lexer | None, lines: list[str]) -> list[Markup]:
    """Each line as HTML, in the order and number in which they were given."""
    text = "\n".join(lines)
    if (
        lexer is None
        or len(text) > MOST_CHARACTERS
        or max(map(len, lines), default=0) > LONGEST_LINE
    ):
        return [escape(line) for line in lines]
    out: list[Markup] = [Markup("")]
    for kind, value in lexer.get_tokens(text):
        for place, piece in enumerate(value.split("\n")):
            if place:
                out.append(Markup(""))
            if piece:
                out[-1] += _token(kind, piece)
    out += [Markup("")] * (len(lines) - len(out))
    return out[: len(lines)]


def _token(kind: Any, text: str) -> Markup:
    from pygments.token import STANDARD_TYPES

    name = STANDARD_TYPES.get(kind, "")
    if not name or name[0] not in _CLASSES or (name[0] == "n" and name not in _NAMES):
        return escape(text)
    return Markup('<span class="{}">{}</span>').format(name[0], text)


@lru_cache(100)
def _by_ending(ending: str, name: str) -> Lexer | None:
    from pygments.lexers import get_lexer_for_filename  # pyright: ignore[reportUnknownVariableType]
    from pygments.util import ClassNotFound

    try:
        # As they are: a line that the lexer added or removed would shift all behind it.
        options: dict[str, Any] = {"stripnl": False, "ensurenl": False}
        return get_lexer_for_filename(f"x.{ending}" if "." in name else name, **options)
    except ClassNotFound:
        return None
