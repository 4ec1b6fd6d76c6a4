"""Reads reset times from the words of providers and agents. Pure.

A text names many numbers. One is a time to come back at only where the sentence says so ("resets",
"try again", "wait", "until", "重置"). What follows such a word is read, or what stands before it
if nothing follows; calendar_words.py and duration_words.py know the forms. The regular
expressions are linear.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from agent_runner.classify.calendar_words import moment_in
from agent_runner.classify.duration_words import COLONS, SPAN, length_of

MOST_SENTENCES = 60
NEAR = 90
"""Characters between a word that announces a time and the time's beginning, at most."""

_ENDS = re.compile(r"[.!?;](?=\s|$)|[。！？；\n\t…]|\.{3}")
_AM_PM = re.compile(r"\b([ap])\. ?m\.", re.IGNORECASE)
_SHORT_MONTH = re.compile(
    r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|approx)\.(?= )", re.IGNORECASE
)

_CUE = re.compile(
    r"re-?set(?:s|ting)?|refresh(?:e[sd]|ing)?|renew(?:s|ed|als?)?|replenish(?:e[sd])?"
    r"|restor(?:e[sd]?)|recover[sy]?|re-?tr(?:y(?:ing)?|ies)(?![a-z]| attempt| wait)"
    r"|try(?:ing)? (?:[a-z]{1,10} ){0,3}again|\bagain\b|(?:come|check) back|available"
    r"|\breturn (?=tomorrow|next|on|at|in \d|after)"
    r"|regain(?:ed)? access|resume[sd]?|(?<!retry )(?<!total )\bwait\b|unlock(?:s|ed)?"
    r"|unblock(?:ed)?|\blift(?:s|ed)\b|\bopens?\b|\bexpires?\b|\buntil\b|cool-?down"
    r"|\bback (?:at|in|on)\b|(?:cycle|period) (?=ends)|next (?:attempt|request|window|cycle)"
    r"|usage limit reached\|"
    r"|重置|重試|重试|再试|刷新|恢复|更新|等待|解除|リセット|再試行",
    re.IGNORECASE,
)
_ABOUT = (
    r"(?:(?:about|around|approximately|approx|roughly|another|up to|less than|under|at least"
    r"|at most|almost|nearly|the next|an estimated|约|大约)\s{0,2}|[~≈:=\"'(<]\s{0,2}){0,3}"
)
_IN = re.compile(
    rf"(?:\b(?:in|after|for another)\b|[:=~≈]|(?:_|\b)(?:in|after|delay)[\"']?\s?[:=])\s{{0,2}}"
    rf"{_ABOUT}({SPAN})|\bin\s{_ABOUT}({COLONS})",
    re.IGNORECASE,
)
_WAIT = re.compile(rf"\s?(?:time|period)?\s?(?:is|of|for)?\s{{0,2}}{_ABOUT}({SPAN})", re.IGNORECASE)
_LATER = re.compile(rf"({SPAN})\s?(?:from now|later)\b", re.IGNORECASE)
_BEFORE = re.compile(
    rf"({SPAN})\s?(?:(?:left|remaining|more)\s)?(?:until|till|before|to (?:the )?re)"
    rf"|\bin\s{_ABOUT}({SPAN})|({SPAN})\s?(?:之?[后後]|以[后後]|内)",
    re.IGNORECASE,
)
_SECONDS = re.compile(
    r"[\s_-]?after(?P<ms>[\s_-]?ms)?(?:[\s_-]?(?:seconds|secs?))?[\"']?\s?[:=]?\s?[\"']?"
    r"(?P<n>\d{1,7}(?:\.\d{1,6})?)(?![\d:/%-]|\s?[^\W\d_])(?!\.\d)",
    re.IGNORECASE,
)


def from_text(text: str, now: datetime, home: tzinfo = UTC) -> Iterator[datetime]:
    """The times in a text, in UTC, the latest first: if several budgets are named, a try before the
    last one resets is in vain. A clock time without a zone counts only if there is no other."""
    sure: list[datetime] = []
    unsure: list[datetime] = []
    for sentence in _sentences(text):
        for at, zoned in _times(sentence, now, home):
            (sure if zoned else unsure).append(at)
    yield from sorted(sure or unsure, reverse=True)


def _sentences(text: str) -> list[str]:
    # One kind of blanks and digits: "2:55\u202fPM".
    text = unicodedata.normalize("NFKC", text.replace("…", "\n"))
    text = _SHORT_MONTH.sub(r"\1", _AM_PM.sub(r"\1m", text))
    return _ENDS.split(text)[:MOST_SENTENCES]


def _times(sentence: str, now: datetime, home: tzinfo) -> Iterator[tuple[datetime, bool]]:
    cues = [*_CUE.finditer(sentence)][:MOST_SENTENCES]
    times: list[tuple[datetime, bool]] = []
    for number, cue in enumerate(cues):
        end = cues[number + 1].start() if number + 1 < len(cues) else len(sentence)
        times += _behind(cue, sentence[cue.end() : min(end, cue.end() + NEAR)], now, home)
    if not times and cues:
        times += _ahead(sentence[: cues[-1].end()][-2 * NEAR :], cues[-1][0], now, home)
    yield from times


def _behind(
    cue: re.Match[str], text: str, now: datetime, home: tzinfo
) -> Iterator[tuple[datetime, bool]]:
    """What a word announces: a length of time, and a moment."""
    span = _IN.search(text) or _LATER.search(text)
    if span is None and cue[0].lower().startswith(("wait", "等待")):
        span = _WAIT.match(text)
    if span is not None and (at := _after(span, now)):
        yield at, True
        text = text[: span.start()] + " " + text[span.end() :]
    elif seconds := _SECONDS.match(text):
        length = float(seconds["n"]) / (1000 if seconds["ms"] else 1)
        yield now + timedelta(seconds=length), True
        return
    moment = moment_in(text, now, home)
    if moment is not None and moment.at is not None:
        yield moment.at, moment.zoned


def _ahead(text: str, cue: str, now: datetime, home: tzinfo) -> Iterator[tuple[datetime, bool]]:
    """What stands before a word that announces a time: "in 5 minutes you can try again"."""
    if (span := _BEFORE.search(text)) and (at := _after(span, now)):
        yield at, True
        return
    text = text.removesuffix(cue)
    moment = moment_in(text, now, home)
    if moment is not None and moment.at is not None and len(text) - moment.start <= NEAR:
        yield moment.at, moment.zoned


def _after(span: re.Match[str], now: datetime) -> datetime | None:
    length = length_of(next(group for group in span.groups() if group))
    try:
        return None if length is None else now + length
    except OverflowError:
        return None
