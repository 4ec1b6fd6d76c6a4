"""How text looks in a terminal: with colour where it helps, and without control characters."""

from __future__ import annotations

import json
import os
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from rover_mcp.domain import text as safe_text
from rover_mcp.domain.durations import about

_UTC = re.compile(r"(?<![\w:.-])(?:(?P<day>\d{4}-\d\d-\d\d) )?(?P<time>[0-2]\d:[0-5]\d)Z\b")
"""A time as the daemon writes it."""
_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36}
STATUS_COLOURS = {
    "COMPLETED": "green",
    "MERGED": "green",
    "PUSHED": "green",
    "PAUSED": "yellow",
    "FAILED": "red",
    "CANCELLED": "dim",
}
STEP_MARKS = {
    "completed": ("✔", "green"),
    "running": ("▶", "cyan"),
    "interrupted": ("⏸", "yellow"),
    "failed": ("✘", "red"),
    "skipped": ("⤼", "dim"),
    "pending": ("·", "dim"),
}
NARROWEST = 40
"""How many columns are used even where a terminal has fewer."""


def clean(text: object, *, one_line: bool = True) -> str:
    """Untrusted text without anything that a terminal would interpret."""
    shown = str(text)
    return safe_text.one_line(shown) if one_line else safe_text.unhidden(safe_text.plain(shown))


def _utc_now() -> datetime:
    return datetime.now(UTC)


def json_text(value: object) -> str:
    """JSON for people and programs. What a terminal would interpret is escaped; nothing is left
    out."""
    return safe_text.visible_json(json.dumps(value, indent=2, ensure_ascii=False))


class Paint:
    """Colours text if the stream is a terminal and NO_COLOR is not set (no-color.org). `width` is
    the terminal's, or None where lines may have any length. `now` is the time that "ago" counts
    from."""

    def __init__(self, stream: TextIO, now: Callable[[], datetime] = _utc_now) -> None:
        self.now = now
        terminal = stream.isatty()
        self.on = terminal and not os.environ.get("NO_COLOR")
        self.width = _columns(stream) if terminal else None

    def __call__(self, text: str, *styles: str) -> str:
        # An empty text stands for no style, which saves its callers a condition.
        codes = ";".join(str(_CODES[style]) for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.on and codes else text

    def fits(self, text: str) -> bool:
        return self.width is None or width_of(text) <= self.width


def _columns(stream: TextIO) -> int | None:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    # Some terminals and CI systems report 0 columns, which means that they do not know.
    return max(columns, NARROWEST) if columns else None


# Width


def width_of(text: str) -> int:
    """How many columns a text takes: two for a wide character, none for a combining one."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    # Three categories take no column: accents, marks around a character, and invisible format
    # characters.
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def shorten(text: str, width: int | None) -> str:
    """At most `width` columns, with an ellipsis where something is left out."""
    if width is None or width_of(text) <= width:
        return text
    kept, left = "", width - 1
    for char in text:
        left -= _columns_of(char)
        if left < 0:
            break
        kept += char
    return kept + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    return text + " " * max(0, width - width_of(text))


def wrap(text: str, width: int | None, indent: str = "  ") -> list[str]:
    """Lines of at most `width` columns, each indented; a single line where `width` is None."""
    if width is None:
        return [indent + text]
    lines = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return lines or [indent]


def table(rows: Iterable[Sequence[str]], paint: Paint, header: Sequence[str] = ()) -> list[str]:
    """Columns that are aligned to their widest cell. The last one is cut off at the edge of the
    terminal. Cells must not contain colours."""
    cells = [list(row) for row in rows]
    every = [*([list(header)] if header else []), *cells]
    widths = [max(width_of(row[i]) for row in every) for i in range(len(every[0]))] if every else []
    lines = [shorten("  ".join(map(pad, row, widths)).rstrip(), paint.width) for row in every]
    return [paint(lines[0], "dim"), *lines[1:]] if header else lines


# Numbers


def ago(moment: str, now: datetime) -> str:
    """How long ago an ISO time was."""
    return about((now - _time(moment)).total_seconds())


def clock(moment: str, now: datetime) -> str:
    """An ISO time on the local clock, with the day unless it is near."""
    then = _time(moment)
    # Less than a day, so that 09:00 cannot be taken for today's if it is tomorrow's.
    near = abs((then - now).total_seconds()) < 20 * 3600
    return then.astimezone().strftime("%H:%M" if near else "%d %b %H:%M")


def zone(now: datetime) -> str:
    """The name of the local time zone, such as CET."""
    return now.astimezone().strftime("%Z")


def zoned(moment: str, now: datetime) -> str:
    """An ISO time on the local clock, with the time zone."""
    return f"{clock(moment, now)} {zone(_time(moment))}"


def dated(moment: str | None) -> str:
    """The same with its date, for tables of what is kept for a long time."""
    return f"{_time(moment).astimezone():%Y-%m-%d %H:%M %Z}" if moment else ""


def local_times(text: str) -> str:
    """A message of the daemon with its times (2026-11-30 14:05Z or 14:05Z) as local times."""
    return _UTC.sub(_on_local_clock, text) if "Z" in text else text


def _on_local_clock(match: re.Match[str]) -> str:
    day = match["day"] or f"{datetime.now(UTC):%Y-%m-%d}"
    at = _time(f"{day}T{match['time']}+00:00").astimezone()
    return f"{at:%Y-%m-%d %H:%M %Z}" if match["day"] else f"{at:%H:%M %Z}"


def when(moment: str, now: datetime) -> str:
    """An ISO time in the future: on the local clock with the time zone, and how long until then."""
    left = (_time(moment) - now).total_seconds()
    return f"{zoned(moment, now)} ({f'in {about(left)}' if left > 0 else 'now'})"


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
