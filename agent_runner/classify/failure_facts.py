"""Reads what a failure says, once and bounded: status, codes, text, the provider's own JSON.

The JSON is `{"error": {"type", "code", "status", "message", ...}}` of the Anthropic, OpenAI and
Google APIs; some agents pass it on as a field of its own (`Failure.body`), some as a part of their
message. What the gateway saw is read strictly, because an account may be closed on it: an agent
chooses what a provider repeats. Pure; the regular expressions are linear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, cast

from agent_runner.classify.literals import in_json
from agent_runner.classify.meaning import Meaning, clauses, meaning_of_code, meanings
from agent_runner.classify.provider_words import MARK, own_words, quotes
from agent_runner.models import Failure

HEAD, TAIL = 6000, 2000
"""Characters of a text that rules look at: "please retry in 7s" may stand at its very end."""

MAX_JSON = 64_000
MAX_HEADER = 200
MAX_MESSAGE = 2000
"""Characters that the gateway keeps of a message: a longer one has lost its end."""

_NESTED = 3
_MAX_DETAILS = 20

# Where agents write the status of an answer into their message.
_STATUS = re.compile(
    r"(?:API Error: |unexpected status |last status: |request rejected \(|\(status |HTTP "
    r"|Error code: |last error: (?:\w{1,40}: )?)([45]\d\d)\b",
    re.IGNORECASE,
)
_LEADING_STATUS = re.compile(
    r"(?:\[[\w.]{1,40}\] |(?:Error|Execution failed|Internal error|API error): ){0,3}"
    r"([45]\d\d) (?=[A-Z\u4e00-\u9fff])"
)
# What agents put before a provider's words.
_PREFIX = re.compile(
    r"(?:\s?(?:\[?API Error|Internal error|AI_APICallError|Execution failed|Error): ?"
    r"|\s?\[[\w.]{1,40}\] |\s?[45]\d\d ){0,4}\s?"
)
# Here a provider may answer in the caller's own words, and only its beginning is its own for sure.
_REPEATING = frozenset({None, 400, 404, 422})
_NOTHING = frozenset({"", "none", "null"})
_NAME = re.compile(r"[A-Za-z][\w./-]{0,199}")


@dataclass(frozen=True)
class FailureFacts:
    """What one failure says. `status` is an error's, 400 to 599, or None. `codes` are lower case;
    `own_codes` are those of them that the provider itself gave, at first hand.

    `parts` are the provider's own words, one message each, without the caller's (see
    provider_words.py) and with plain apostrophes. `names` are reasons and quotas from
    machine-readable details. `message` is for people. `error` is the provider's error object, or
    empty.
    """

    status: int | None
    codes: frozenset[str]
    own_codes: frozenset[str]
    parts: tuple[str, ...]
    names: tuple[str, ...]
    message: str
    headers: Mapping[str, str]
    error: Mapping[str, Any]
    seen: bool = False
    """whether the gateway saw it"""
    host: str | None = None
    """whose API refused, if that is known"""

    @cached_property
    def meanings(self) -> frozenset[Meaning]:
        """What the words mean; if they mean nothing, what the codes mean."""
        # Some proxies have a code where the message belongs: "local:insufficient_quota".
        telling = [_spaced(part) if " " not in part else part for part in self._telling()]
        in_words = meanings(telling) | meanings(_spaced(name) for name in self.names)
        if in_words:
            return in_words
        in_codes = (meaning_of_code(code) for code in (self.own_codes if self.seen else self.codes))
        return frozenset(meaning for meaning in in_codes if meaning is not None)

    def _telling(self) -> Iterator[str]:
        for part in self.parts:
            if not self.seen or self.status not in _REPEATING:
                yield part
            elif not part.startswith(MARK):
                yield next(clauses(part.partition(MARK)[0]), "")

    @property
    def text(self) -> str:
        """The text that the rules search."""
        return "\n".join((*self.parts, *self.names))

    @property
    def openings(self) -> tuple[str, ...]:
        """How the messages begin."""
        return tuple(part[match.end() :] for part in self.parts if (match := _PREFIX.match(part)))

    @property
    def is_about_a_parameter(self) -> bool:
        """Whether the provider names a parameter of the request that it refuses."""
        param = self.error.get("param")
        refused = isinstance(param, str) and param.lower() not in _NOTHING
        return refused and self.status not in (402, 429)


def read(failure: Failure) -> FailureFacts:
    """Read a failure. Never raises, whatever it contains."""
    seen = failure.source == "gateway"
    if not seen:
        failure = replace(failure, message=in_json(failure.message))
    levels = [*_levels(failure.body, alone=seen)]
    quoted = [] if seen else [*_levels(failure.message, alone=False)]
    # Of what the gateway saw the outermost object is the provider's; one that stands in a message
    # may be the caller's.
    error = _merged(levels[:1] if seen else [*quoted, *levels])
    inner = levels[1:] if seen and not error.get("param") else []
    own = _codes(failure.type, failure.code, *_coded(error))
    return FailureFacts(
        status=_status(failure, error, seen=seen),
        codes=own.union(*(_codes(*_coded(level)) for level in inner)),
        own_codes=own if seen else frozenset(),
        parts=tuple(_parts(failure, quoted, levels)),
        names=tuple(_names(error)),
        message=_message(failure, quoted, error),
        headers={k: v for k, v in failure.headers.items() if len(v) <= MAX_HEADER},
        error=error,
        seen=seen,
        host=failure.host,
    )


def cut(text: str) -> str:
    """The beginning and the end of a long text."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _parts(
    failure: Failure, quoted: list[Mapping[str, Any]], levels: list[Mapping[str, Any]]
) -> Iterator[str]:
    """Each message once. JSON in a message is the provider's; the text around it is the agent's."""
    messages = [level["message"] for level in (*quoted, *levels)]
    around = [failure.message]
    if quoted:
        _, begin, end = _object_in(failure.message)
        around = [failure.message[:begin], failure.message[end:]]
    elif levels and levels[0]["message"].startswith(failure.message):
        around = []
    seen = failure.source == "gateway"
    for text in dict.fromkeys((*around, *messages, *_raw(levels))):
        if text.strip() and not any(_levels(text, alone=True)):
            # Codex's messages have typographic apostrophes, those of the other agents plain ones.
            plain = cut(text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
            yield own_words(plain, complete=len(text) < (MAX_MESSAGE if seen else HEAD + TAIL))


def _raw(levels: list[Mapping[str, Any]]) -> Iterator[str]:
    """What an upstream provider said, if a router passes it on."""
    for level in levels:
        raw = mapping(level.get("metadata")).get("raw")
        if isinstance(raw, str):
            inner = [*_levels(raw, alone=True)]
            yield inner[-1]["message"] if inner else raw


def _names(error: Mapping[str, Any]) -> Iterator[str]:
    """`reason` and `quotaId` of Google's details, if they are names rather than sentences."""
    details = error.get("details")
    for detail in islice(
        cast(list[object], details) if isinstance(details, list) else (), _MAX_DETAILS
    ):
        objects = [mapping(detail)]
        violations = objects[0].get("violations")
        if isinstance(violations, list):
            objects += [mapping(v) for v in cast(list[object], violations)[:_MAX_DETAILS]]
        for value in (f.get(key) for f in objects for key in ("reason", "quotaId")):
            if isinstance(value, str) and _NAME.fullmatch(value):
                yield value


def _message(failure: Failure, quoted: list[Mapping[str, Any]], error: Mapping[str, Any]) -> str:
    inner = quoted[-1]["message"] if quoted else ""
    return inner or failure.message or _string(error.get("message"))


def _coded(error: Mapping[str, Any]) -> tuple[object, ...]:
    return error.get("type"), error.get("code"), error.get("status")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _codes(*values: object) -> frozenset[str]:
    return frozenset(str(v)[:MAX_HEADER].lower() for v in values if isinstance(v, str | int))


def _status(failure: Failure, error: Mapping[str, Any], *, seen: bool) -> int | None:
    in_text = None
    if not seen:
        in_text = _STATUS.search(f"{cut(failure.message)}\n{cut(failure.body)}")
        in_text = in_text or _LEADING_STATUS.match(failure.message.lstrip())
    candidates = (
        failure.status,
        error.get("code"),
        error.get("status"),
        in_text and int(in_text[1]),
    )
    return next((s for s in candidates if isinstance(s, int) and 400 <= s <= 599), None)  # RFC 9110


def _merged(levels: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    error: dict[str, Any] = {}
    for level in levels:
        error |= level
    return error


def _levels(text: str, *, alone: bool) -> Iterator[Mapping[str, Any]]:
    """The error object in a text, then those inside its message, outermost first. With `alone` the
    text may hold nothing beside the object; a message never may."""
    for level in range(_NESTED):
        value, begin, end = _object_in(text)
        around = text[:begin] + text[end:]
        if around.strip() if alone or level else quotes(text[:begin]):
            return
        error = mapping(value.get("error")) or _of_oauth(value) or value
        if not isinstance(error.get("message"), str):
            return
        yield error
        text = error["message"]


def _of_oauth(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """An error of OAuth (RFC 6749): its code is the error, and a description stands beside it."""
    code, description = value.get("error"), value.get("error_description")
    if isinstance(code, str) and isinstance(description, str):
        return {"code": code, "message": description}
    return {}


def _object_in(text: str) -> tuple[Mapping[str, Any], int, int]:
    """The first JSON object in a text, with its begin and its end."""
    text = text[:MAX_JSON]
    start = text.find("{")
    if start < 0:
        return {}, 0, 0
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return {}, 0, 0
    return mapping(value), start, end


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
