"""What agents, providers, commands and repositories wrote, where it stands among Rover's own words:
one line, without what does not show, and quoted as theirs. Every such text passes through here."""

from __future__ import annotations

import re

from rover_mcp.domain.text import plain, unhidden

MESSAGE_SHOWN = 1000
"""Characters of a message in a view; the logs hold all of it."""
QUOTED = 500
"""Characters of a text that is quoted."""
_NAME = re.compile(r"[\w.@+/:~*\\-]+")
"""A name that cannot be read as a sentence."""


def printable(text: str, most: int = MESSAGE_SHOWN) -> str:
    """A text as one line that no terminal obeys, and in which nothing is hidden from a reader."""
    return " ".join(unhidden(plain(text)).split())[:most]


def quoted(text: str, most: int = QUOTED) -> str:
    """The same in quotation marks, which it cannot end: whoever reads it sees whose words these are
    not. What is quoted already is cut again and quoted once."""
    line = printable(text, len(text)).strip('"').replace('"', "'")
    return f'"{line}"' if len(line) <= most else f'"{line[: most - 1].rstrip()}…"'


def shortened(text: str, most: int) -> str:
    """A line of a view, cut; one that is quoted stays so."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return quoted(text, most) if is_quoted else printable(text, most)


def named(name: str, most: int = 200) -> str:
    """A name that somebody else gave, such as a file's: as it is where it is one word, and quoted
    where it could be read as more."""
    line = printable(name, most)
    return line if _NAME.fullmatch(line) else quoted(line, most)
