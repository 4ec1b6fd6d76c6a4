"""The errors that `rover explain` takes: JSON, one object a line, or the bare text of one. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

MAX_LINE = 1_000_000
"""Characters of one error."""

BESIDE = frozenset(
    {
        "id", "arrives_as", "note", "source", "language", "expected_reason", "expected_retry",
        "real_wait_h", "got_reason", "got_retry", "verdict", "how_wrong",
    }
)  # fmt: skip
"""Fields of collections of cases, which say nothing of the error itself."""

TELLING = frozenset({"text", "status", "headers", "reader", "fields"})
"""An object is a case if it has one of these; any other is what a provider answered."""


class Case(BaseModel):
    """One error, and the way in which it arrived. `reader` names what reads it in a run: an
    agent's events, the end of an agent's turn over ACP, or the gateway (`http`)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str | None = None
    reader: str = ""
    arrives_as: str = ""
    agent: str = ""
    provider: str | None = None
    base_url: str | None = None
    status: int | None = Field(default=None, ge=100, le=599)
    headers: Mapping[str, str] = Field(default_factory=dict[str, str])
    text: str = ""
    fields: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    now: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @field_validator("headers", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value or {}
        return {k: str(v) for k, v in cast(dict[str, object], value).items()}

    @field_validator("fields", mode="before")
    @classmethod
    def _none_is_absent(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("text", mode="before")
    @classmethod
    def _as_sent(cls, value: object) -> object:
        """A body may be given as the JSON that it is."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value

    @field_validator("now")
    @classmethod
    def _with_zone(cls, value: datetime) -> datetime:
        return value if value.tzinfo else value.replace(tzinfo=UTC)


class BadCase(Exception):
    """A line is not an error that can be explained; the message says why."""


Parsed = tuple[int, Case | BadCase, tuple[str, ...]]
"""A line's number, what it says, and the names of fields that nothing reads."""


def parse(text: str) -> list[Parsed]:
    """The errors in a text; none where it is empty. What is not JSON is one error's bare text."""
    if not text.strip():
        return []
    parsed = _json_object(text)
    if parsed is not None and len(text.strip().splitlines()) > 1:
        return [(1, *_case(parsed))] if TELLING & parsed.keys() else [(1, bare(text), ())]
    if not text.lstrip().startswith("{"):
        return [(1, bare(text), ())]
    lines = enumerate(text.splitlines(), start=1)
    return [(number, *_line(line)) for number, line in lines if line.strip()]


def bare(text: str) -> Case:
    """An error of which only the text is known: as an agent over ACP reports it."""
    message = json.dumps({"code": -32603, "message": text.strip()})
    return Case(reader="acp_error", arrives_as="text", text=message)


def _line(line: str) -> tuple[Case | BadCase, tuple[str, ...]]:
    if len(line) > MAX_LINE:
        return BadCase(f"the line is longer than {MAX_LINE} characters"), ()
    try:
        value = cast(object, json.loads(line))
    except (ValueError, RecursionError) as error:
        return BadCase(f"it is not valid JSON: {error}"), ()
    if not isinstance(value, dict):
        return BadCase("it is not a JSON object"), ()
    fields = cast(dict[str, Any], value)
    return _case(fields) if TELLING & fields.keys() else (bare(line), ())


def _case(value: dict[str, Any]) -> tuple[Case | BadCase, tuple[str, ...]]:
    unknown = tuple(sorted(value.keys() - Case.model_fields.keys() - BESIDE))
    given = {k: v for k, v in value.items() if v is not None}
    try:
        case = Case.model_validate({**given, "id": str(given["id"])} if "id" in given else given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        return BadCase("; ".join(f"{_place(f['loc'])}: {f['msg']}" for f in faults)), unknown
    if not case.text and case.status is None and not case.headers:
        return BadCase("`text` is missing: give at least text, status or headers"), unknown
    return case, unknown


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "the object"


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = cast(object, json.loads(text[: 2 * MAX_LINE]))
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
