"""Removes from an error's message the caller's words that the provider repeats.

Providers quote what they refuse: a value, a model's name, a part of the request. Whoever wrote the
request chose those words, and may have chosen them to look like a limit. What cannot be
distinguished is left out: a limit that is not recognised costs one task a retry, while one that is
made up would close an account for all. Where words were left out stands a mark, so that what
follows it is never taken for the beginning of a message. Pure; the regular expressions are linear.
"""

from __future__ import annotations

import re

MARK = "…"

_OPENING = re.compile(r"[\"`“”„«»‘]|(?<!\w)'")
_CLOSING = re.compile(r"[\"`“”„«»‘]|'(?!\w)")
# "Invalid value: ...", "passed model=...": the caller's words follow.
_BEHIND = re.compile(
    r"\b((?:(?:invalid|unknown|unsupported|unrecogni[sz]ed|unexpected|malformed|illegal)"
    r"(?: [\w-]{1,30}){1,4}|(?:passed|requested|given|supplied) [\w-]{1,30}|(?<!\()model|value"
    r"|param(?:eter)?|provided) ?[:=]).*",
    re.IGNORECASE,
)
# "messages.3.content: ...", "contents[3].parts: ...", "body.model: ...": a place in the request.
_PLACE = re.compile(
    r"(?:^|(?<=[\s*(]))[A-Za-z_]\w{0,60}(?:\.[a-z_]\w{0,60}){0,6}(?:\.\d{1,6}|\[\d{1,6}\])"
    r"(?:\.[a-z_]\w{0,60}|\.\d{1,6}|\[\d{1,6}\]){0,12}:"
    r"|^[a-z_]{1,60}(?:\.[a-z_]{1,60}){1,6}:"
)
# "... is not a valid model ID": the caller's words stand before it.
_AHEAD = re.compile(
    r"\b(?:(?:is|are|was|were) (?:not (?:an? )?(?:\w{1,20} )?"
    r"(?:valid|supported|known|allowed|permitted|one of|found|recogni[sz]ed)"
    r"|invalid|unknown|unsupported|too long|longer than|no valid)"
    r"|does not exist|do not exist|not found|cannot be found|must be(?! reduced))\b",
    re.IGNORECASE,
)


# Google quotes its own names: no caller chooses them. gRPC puts a code before them.
_METRIC = re.compile(
    r"(?:\d{1,2} )?(?:[A-Z_]{3,40}: )?Quota exceeded for quota metric"
    r" '([\w .-]{1,100})' and limit '([\w .-]{1,100})'"
    r" of service '([\w.-]{1,80}\.googleapis\.com)'"
)


def own_words(text: str, *, complete: bool = True) -> str:
    """`text` without quotations and without what stands at a place where requests are repeated.

    Everything from the first quotation mark to the last is left out: a quoted text may hold marks
    of its own. `complete` False: its end was cut off, so what follows a quotation mark is unknown.
    """
    if metric := _METRIC.match(text):
        named = f"Quota exceeded for {metric[1]}, limit {metric[2]} of {metric[3]}"
        text = named + text[metric.end() :]
    text = _without_quotations(text, complete=complete)
    if place := _PLACE.search(text):
        text = text[: place.end()] + MARK
    text = _BEHIND.sub(rf"\1{MARK}", text)
    behind = [match.start() for match in _AHEAD.finditer(text)]
    return MARK + text[behind[-1] :] if behind else text


def quotes(text: str) -> bool:
    """Whether a quotation begins in a text."""
    return _OPENING.search(text) is not None


def _without_quotations(text: str, *, complete: bool) -> str:
    first = _OPENING.search(text)
    if first is None:
        return text
    closings = [last.end() for last in _CLOSING.finditer(text, first.end())] if complete else []
    # One that is never closed may itself be the caller's: what refuses the value still follows it.
    refusals = [match.start() for match in _AHEAD.finditer(text, first.end())]
    end = (closings or (refusals if complete else []) or [len(text)])[-1]
    return text[: first.start()] + MARK + text[end:]
