"""Asking a person before something is destroyed, in both eras.

Where the client can ask, it is asked: in 2026-07-28 by a result that requires input and a repeated
call (MRTR), before that by a request to the client. Where it cannot, `confirm` in the call counts.
"""

from __future__ import annotations

from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rover_mcp.domain.errors import UserFixable
from rover_mcp.server.tasks_extension.source import Context

KEY = "choice"
DELETE, KEEP = "delete", "keep"
# No yes or no: VS Code 1.139 offers `true` first, whatever the default.
_CHOICE: dict[str, Any] = {
    "type": "string",
    "title": "What should happen?",
    "oneOf": [{"const": KEEP, "title": "Keep it"}, {"const": DELETE, "title": "Delete it"}],
    "default": KEEP,
}
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {KEY: _CHOICE}, "required": [KEY]}


def can_ask(ctx: Context) -> bool:
    """Whether the client shows forms to a person."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


async def confirmed(
    ctx: Context, params: CallToolRequestParams, message: str
) -> InputRequiredResult | None:
    """None: go ahead. A result: the client has to ask first, and repeats the call.

    Raises:
        UserFixable: the person said no, or could not be asked.
    """
    if not can_ask(ctx):
        return None
    form = ElicitRequestFormParams(message=message, requested_schema=_SCHEMA)
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        said = (params.input_responses or {}).get(KEY)
        if not isinstance(said, ElicitResult):
            return InputRequiredResult(input_requests={KEY: ElicitRequest(params=form)})
    else:
        try:
            said = await ctx.session.elicit_form(message, _SCHEMA, ctx.request_id)
        except MCPError as error:
            raise UserFixable(f"nobody could be asked: {error}", code="not_confirmed") from error
    if said.action != "accept" or (said.content or {}).get(KEY) != DELETE:
        raise UserFixable("not confirmed: nothing was deleted", code="not_confirmed")
    return None
