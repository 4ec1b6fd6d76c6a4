"""What a client is told to call: nothing that the tools of its server do not have."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import cast

from pydantic import BaseModel

from rover_mcp.errors import RoverError
from rover_mcp.tasks.models import NextAction


def keep_offered(told: BaseModel, tools: Container[str]) -> None:
    """Take out of a result, wherever they stand in it, the calls of other tools than these."""
    for name in type(told).model_fields:
        value: object = getattr(told, name)
        if isinstance(value, NextAction):
            if value.tool not in tools:
                setattr(told, name, None)
        elif isinstance(value, BaseModel):
            keep_offered(value, tools)
        elif isinstance(value, list):
            parts = cast("list[object]", value)
            kept = [part for part in parts if not _other(part, tools)]
            if len(kept) < len(parts):
                setattr(told, name, kept)
            for part in kept:
                if isinstance(part, BaseModel):
                    keep_offered(part, tools)


def offered_call(error: RoverError, tools: Container[str]) -> Mapping[str, object] | None:
    """The call that an error names, if there is one and it can be made here."""
    call = error.next_call
    return call if call is not None and str(call.get("tool")) in tools else None


def _other(part: object, tools: Container[str]) -> bool:
    return isinstance(part, NextAction) and part.tool not in tools
