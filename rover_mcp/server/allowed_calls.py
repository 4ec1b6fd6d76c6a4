"""Which calls a client is offered: those to the tools of its server, with agents that can sign
in."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel

from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.view_models import NextAction

if TYPE_CHECKING:
    from rover_mcp.tasks.status_report import StatusReport

CallCheck = Callable[[NextAction], bool]


def working(status: StatusReport, caller: Caller, tools: Container[str]) -> CallCheck:
    """A function that says whether a call works for a caller who is offered these tools."""

    def works(call: NextAction) -> bool:
        agent = call.arguments.get("agent")
        return call.tool in tools and (agent is None or status.may_sign_in(str(agent), caller))

    return works


# A model makes a call that it is offered. One that is refused costs a turn, and trust in the next
# one.
def drop_refused_calls(model: BaseModel, works: CallCheck) -> None:
    """Remove from a result, wherever they are in it, the calls that do not work."""
    for name in type(model).model_fields:
        value: object = getattr(model, name)
        if isinstance(value, NextAction):
            if not works(value):
                setattr(model, name, None)
        elif isinstance(value, BaseModel):
            drop_refused_calls(value, works)
        elif isinstance(value, list):
            parts = cast("list[object]", value)
            kept = [part for part in parts if not isinstance(part, NextAction) or works(part)]
            if len(kept) < len(parts):
                setattr(model, name, kept)
            for part in kept:
                if isinstance(part, BaseModel):
                    drop_refused_calls(part, works)


def callable_next(
    call: Mapping[str, object] | None, tools: Container[str]
) -> Mapping[str, object] | None:
    """The call that an error names, if there is one and it can be made here."""
    return call if call is not None and str(call.get("tool")) in tools else None
