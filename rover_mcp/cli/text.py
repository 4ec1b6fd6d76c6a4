"""How things look in a terminal: colour where it helps, control characters nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TextIO

# C0 and C1 but for newline and tab, and what reorders text: an agent's text steers no terminal.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
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


def clean(text: object, *, one_line: bool = True) -> str:
    """Untrusted text without what a terminal would obey."""
    safe = _UNSAFE.sub("", str(text))
    return " ".join(safe.split()) if one_line else safe


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


class Paint:
    """Colours, if the stream is a terminal and NO_COLOR is not set (no-color.org)."""

    def __init__(self, stream: TextIO) -> None:
        self.on = stream.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, text: str, *styles: str) -> str:
        codes = ";".join(str(_CODES[style]) for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.on and codes else text


def table(rows: Iterable[Sequence[str]], paint: Paint, header: Sequence[str] = ()) -> list[str]:
    """Columns aligned to their widest cell; the last one is free. Cells are not painted."""
    cells = [list(row) for row in rows]
    every = [*([list(header)] if header else []), *cells]
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))] if every else []
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in every
    ]
    return [paint(lines[0], "dim"), *lines[1:]] if header else lines


def duration(seconds: float | None) -> str:
    """As people say it: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def ago(moment: str, now: datetime | None = None) -> str:
    """How long ago an ISO time is."""
    return duration(max(0.0, ((now or datetime.now(UTC)) - _time(moment)).total_seconds()))


def when(moment: str, now: datetime | None = None) -> str:
    """An ISO time still to come: the local clock, and in how long."""
    then, now = _time(moment), now or datetime.now(UTC)
    left = (then - now).total_seconds()
    clock = then.astimezone().strftime("%H:%M" if left < 20 * 3600 else "%d %b %H:%M")
    return f"{clock} (in {duration(left)})" if left > 0 else f"{clock} (now)"


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
