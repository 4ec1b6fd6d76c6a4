"""Asks the user of this machine for what no call may decide alone, in both protocol eras.

The client is asked, never the model: in 2026-07-28 by a result that requires input and a repeated
call, before that by a request to the client. An answer counts only for the question that was asked,
which its digest identifies.
"""

from __future__ import annotations

import logging
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

from rover_mcp.domain.errors import NeedsConsent, UserFixable
from rover_mcp.server.elicitation import can_ask
from rover_mcp.server.tasks_extension.protocol import Context
from rover_mcp.tasks.caller import Caller

log = logging.getLogger("rover.server")

KEY = "choice"
ALLOW, REFUSE = "allow", "refuse"
_CHOICE: dict[str, Any] = {
    "type": "string",
    "title": "Do you allow it?",
    "oneOf": [
        {"const": REFUSE, "title": "No, start nothing"},
        {"const": ALLOW, "title": "Yes, I have read it and allow it"},
    ],
    "default": REFUSE,
}
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {KEY: _CHOICE}, "required": [KEY]}


async def answer(
    ctx: Context, params: CallToolRequestParams, caller: Caller, need: NeedsConsent
) -> InputRequiredResult | str | None:
    """Ask for the consent that a call needs. Returns the question's digest where the user agrees; a
    result where the client has to ask first and then repeats the call; None where no user can be
    asked and the call works without.

    Raises:
        UserFixable: the user does not agree, or cannot be asked for what has to be allowed.
    """
    # Over HTTP the person at the client is not the user of this machine, whose files and keys are
    # at stake.
    if caller.user is not None or not _may_ask(ctx, caller, need):
        return _undecided(need)
    key = f"consent-{need.digest}"
    form = ElicitRequestFormParams(message=need.question, requested_schema=_SCHEMA)
    # As for a deletion: the era of 2026-07-28 has no requests from the server.
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        response = (params.input_responses or {}).get(key)
        if not isinstance(response, ElicitResult):
            return InputRequiredResult(input_requests={key: ElicitRequest(params=form)})
    else:
        try:
            response = await ctx.session.elicit_form(need.question, _SCHEMA, ctx.request_id)
        except MCPError as error:
            log.info("the client cannot ask its user: %s", error)
            return _undecided(need)
    if response.action != "accept" or (response.content or {}).get(KEY) != ALLOW:
        raise UserFixable(
            f"the user did not agree; nothing was started. {need.message}",
            code="not_allowed",
            hint=need.hint,
        )
    return need.digest


def _undecided(need: NeedsConsent) -> None:
    if not need.can_do_without:
        raise need


def _may_ask(ctx: Context, caller: Caller, need: NeedsConsent) -> bool:
    """Whether the client may ask. Consent to a task without a sandbox is asked for at a terminal
    only: people answer forms out of habit."""
    return can_ask(ctx) and (
        need.askable == "form" or (need.askable is not None and caller.terminal)
    )
