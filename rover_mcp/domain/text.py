"""Makes an agent's text safe to show: whatever is invisible, or moves what is visible, becomes an
escape."""

from __future__ import annotations

import json
import re

# Control characters; what reorders or joins; what has no width; the tags that spell invisible
# ASCII. The joiners of emoji and of some scripts only where they touch ASCII.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|(?<=[!-~])[\u200c\u200d]|[\u200c\u200d](?=[!-~])"
)
_BREAKS = re.compile("[\t\n]")
_CARRIAGE = re.compile(r"^( .*)\r$", re.MULTILINE)

# ECMA-48: control sequences, strings (a title, a link, the clipboard), then single controls.
# A string that is never ended ends with its line: it hides no more than that.
_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_CONTROLS = re.compile(f"(?:{_CONTROL.pattern})+")
_COLOUR = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*m")
MARK = "\u241b"
"""Stands in a log for control characters that were left out."""


def plain(text: str) -> str:
    """Text without terminal escapes, and without control characters except tab and line feed.
    Linear."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def marked(text: str) -> str:
    """The same, with a mark wherever more than a colour was left out."""
    return _CONTROLS.sub(MARK, _COLOUR.sub("", text.replace("\r\n", "\n")))


def visible(text: str) -> str:
    """Text of many lines in which nothing is left out and nothing is interpreted by a terminal."""
    return _HIDDEN.sub(_escape, text)


def unhidden(text: str) -> str:
    """Text without anything invisible."""
    return _HIDDEN.sub("", text)


def one_line(text: str) -> str:
    """Text as one line, without terminal escapes and without anything invisible."""
    return " ".join(unhidden(plain(text)).split())


def visible_json(text: str) -> str:
    """A JSON document, in which everything invisible is an escape of JSON."""
    return _HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


def visible_line(text: str) -> str:
    """The same for what has to stay in one line, such as a file's name."""
    return _BREAKS.sub(_escape, visible(text))


def visible_patch(patch: str) -> str:
    """The same for a diff. The carriage return at the end of a line is shown where the line was
    changed, and not on every line around it."""
    return visible(_CARRIAGE.sub(r"\1", patch))


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x100:
        return {9: r"\t", 10: r"\n", 13: r"\r"}.get(number, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
