"""What one failure tells, read once and bounded: status, codes, text, the provider's own JSON.

The JSON is `{"error": {"type", "code", "status", "message", ...}}` of the Anthropic, OpenAI and
Google APIs; some agents pass it on as a field of its own (`Failure.body`), some as a part of their
message (facts/agents.md, sections 2.3 and 2.4). Pure; the regular expressions are linear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from agent_runner.agents.protocol import Failure

HEAD, TAIL = 6000, 2000
"""Characters of a text that rules look at: "please retry in 7s" may stand at its very end."""

MAX_JSON = 64_000
MAX_HEADER = 200
_NESTED = 3

# Where agents write the status of an answer into their message.
_STATUS = re.compile(
    r"(?:API Error: |unexpected status |last status: |request rejected \("
    r"|last error: (?:\w{1,40}: )?)([45]\d\d)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Told:
    """`status` is an error's, 400 to 599, or None. `codes` are lower case. `text` has plain
    apostrophes. `said` is for people. `error` is the provider's error object, or empty."""

    status: int | None
    codes: frozenset[str]
    text: str
    said: str
    headers: Mapping[str, str]
    error: Mapping[str, Any]


def read(failure: Failure) -> Told:
    """Read a failure. Never raises, whatever stands in it."""
    quoted = _error_object(failure.message)
    error = {**quoted, **_error_object(failure.body)}
    text = "\n".join(part for part in (cut(failure.message), cut(failure.body)) if part)
    said = _string(quoted.get("message")) or failure.message or _string(error.get("message"))
    codes = (failure.type, failure.code, error.get("type"), error.get("code"), error.get("status"))
    return Told(
        status=_status(failure, error, text),
        codes=frozenset(str(c)[:MAX_HEADER].lower() for c in codes if isinstance(c, str | int)),
        text=text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"),
        said=said,
        headers={k: v for k, v in failure.headers.items() if len(v) <= MAX_HEADER},
        error=error,
    )


def cut(text: str) -> str:
    """The beginning and the end of a long text."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def mapping(value: object) -> Mapping[str, Any]:
    """It, if it is a JSON object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _status(failure: Failure, error: Mapping[str, Any], text: str) -> int | None:
    in_text = _STATUS.search(text)
    told = (failure.status, error.get("code"), error.get("status"), in_text and int(in_text[1]))
    return next((s for s in told if isinstance(s, int) and 400 <= s <= 599), None)  # RFC 9110


def _error_object(text: str) -> Mapping[str, Any]:
    """The error object in a text; where its message quotes another, what that one says counts."""
    error: dict[str, Any] = {}
    for _ in range(_NESTED):
        whole = _first_object(text)
        found = mapping(whole.get("error")) or whole
        if not isinstance(found.get("message"), str):
            break
        error |= found
        text = found["message"]
    return error


def _first_object(text: str) -> Mapping[str, Any]:
    text = text[:MAX_JSON]
    start = text.find("{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return {}
    return mapping(value)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
