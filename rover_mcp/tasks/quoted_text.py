"""Shows text by agents, providers, commands and repositories among Rover's own words: in one line,
without anything invisible, and in quotation marks. Every such text passes through here."""

from __future__ import annotations

import re

from rover_mcp.domain.text import one_line

MESSAGE_SHOWN = 1000
"""Characters of a message in a view; the logs have all of it."""
QUOTED = 500
"""Characters of a text in quotation marks."""
_NAME = re.compile(r"[\w.@+/:~*\\-]+")
"""A name that cannot be mistaken for a sentence."""


def printable(text: str, most: int = MESSAGE_SHOWN) -> str:
    """A text as one line that a terminal does not interpret, and that hides nothing from its
    reader."""
    return one_line(text)[:most]


def quoted(text: str, most: int = QUOTED) -> str:
    """The same in quotation marks, which the text itself cannot close, so that its reader sees that
    someone else wrote it. Text that is already quoted is shortened and stays quoted once."""
    # Without this a text could end its own quotation and go on in what looks like Rover's words.
    line = printable(text, len(text)).strip('"').replace('"', "'")
    return f'"{line}"' if len(line) <= most else f'"{line[: most - 1].rstrip()}…"'


def shortened(text: str, most: int) -> str:
    """A line of a view, shortened. If it is quoted it stays quoted."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return quoted(text, most) if is_quoted else printable(text, most)


def named(name: str, most: int = 200) -> str:
    """A name that someone else chose, such as a file's: unchanged where it is one word, and quoted
    where it could be read as a sentence."""
    line = printable(name, most)
    return line if _NAME.fullmatch(line) else quoted(line, most)
