"""Shows what a program printed on a terminal: its colours, and nothing else that it asked for."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from rover_mcp.domain.text import marked, visible

_COLOUR: Final = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]{0,60})m")
_COLOURS: Final = [str(base + colour) for base in (30, 40, 90, 100) for colour in range(8)]
_PLAIN: Final = frozenset(["", "1", "2", "3", "4", "22", "23", "24", "39", "49", *_COLOURS])
"""What is kept of a colour: the sixteen colours, bold, faint, italic, underlined, and the end of
each. The page's style has them in both schemes; a colour by number could be unreadable in one."""


def terminal_html(text: str) -> Markup:
    """Lines of a log as HTML for `<pre class="log">`. Links, titles, movements and every other
    control sequence become one mark; hidden text is shown."""
    if "\x1b" not in text and "\x9b" not in text:
        return escape(visible(marked(text)))
    from ansi2html import Ansi2HTMLConverter

    pieces: list[str] = []
    last = 0
    for match in _COLOUR.finditer(text):
        pieces += [visible(marked(text[last : match.start()])), _kept(match[1])]
        last = match.end()
    pieces.append(visible(marked(text[last:])))
    shown = Ansi2HTMLConverter(inline=False).convert("".join(pieces), full=False)
    return Markup(shown.removesuffix("\n"))  # noqa: S704  # the converter escapes what it is given


def _kept(codes: str) -> str:
    """The sequence with those of its codes that are shown, always in the one form that every reader
    of it understands."""
    words = re.split("[;:]", codes)
    # 38 and 48 are followed by a colour's number or its parts, which are no codes.
    for place, word in enumerate(words):
        if word in ("38", "48", "58"):
            words = words[:place]
            break
    kept = [word.lstrip("0") for word in words if word.lstrip("0") in _PLAIN]
    return f"\x1b[{';'.join(word or '0' for word in kept)}m" if kept else ""
