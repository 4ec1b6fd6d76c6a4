"""One `tools/call`, from its arguments to the answer: what a person is asked first, which errors
are tool errors, and which events an answer carries."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio.lowlevel
import anyio.to_thread
from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult, TextContent
from pydantic import ValidationError

from rover_mcp.domain.errors import NeedsConsent, RoverError
from rover_mcp.domain.text import visible
from rover_mcp.server.allowed_calls import CallCheck, callable_next, drop_refused_calls
from rover_mcp.server.argument_errors import bad_arguments, corrected, unknown_tool
from rover_mcp.server.arguments import Arguments, DeleteArguments
from rover_mcp.server.brief_results import besides_shown, brief
from rover_mcp.server.consent_question import answer
from rover_mcp.server.deletion_tools import deletion_asked
from rover_mcp.server.elicitation import can_ask, confirmed
from rover_mcp.server.host_tools import delivery_asked, is_delivery
from rover_mcp.server.mcp_task_handles import TaskHandles
from rover_mcp.server.progress_notifications import IncreasingProgress
from rover_mcp.server.result_text import text_of
from rover_mcp.server.results import Result, TaskResult
from rover_mcp.server.roots import run_where_a_repository_is
from rover_mcp.server.session import ClientSession
from rover_mcp.server.tasks_extension import RECEIPT
from rover_mcp.server.tasks_extension.extension import declared
from rover_mcp.server.tasks_extension.protocol import Context
from rover_mcp.server.tool_call import Call, Progress, Services, ToolEntry
from rover_mcp.server.tools import tools_for
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.tasks.view_models import NextAction

log = logging.getLogger("rover.server")


class ToolCaller:
    """Answers `tools/call` for one session."""

    def __init__(
        self, services: Services, session: ClientSession, handles: TaskHandles, works: CallCheck
    ) -> None:
        self._services = services
        self._session = session
        self._handles = handles
        self._works = works
        self._tools = tools_for(session.caller)

    async def __call__(
        self, ctx: Context, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        entry = self._tools.get(params.name)
        if entry is None:
            raise unknown_tool(params.name, params.arguments or {}, self._tools)
        self._services.touch()
        await self._services.broadcaster.confirm(self._session)
        wants_progress = (ctx.meta or {}).get("progress_token") is not None
        call = Call(self._session, self._services, _progress(ctx), wants_progress=wants_progress)
        try:
            arguments = entry.arguments.model_validate(params.arguments or {})
            form = await self._form(ctx, params, call, arguments)
            if form is not None:
                return form
            agreed = is_delivery(arguments) and arguments.confirm and can_ask(ctx)
            call = replace(call, agreed=agreed)
            result = await run_where_a_repository_is(
                ctx,
                params,
                self._session,
                arguments,
                lambda given: self._run(ctx, params, entry, call, given),
                self._services.tasks.repositories,
            )
            if isinstance(result, InputRequiredResult):
                return result
        # As a tool's error: models correct a call after one, and most clients hide protocol errors
        # from them.
        except ValidationError as error:
            return self._error(bad_arguments(error, entry, params.arguments or {}))
        except RoverError as error:
            return self._error(error, self._corrected(error, entry, params.arguments or {}))
        task_id = _started(entry, result) if declared(ctx) else None
        if task_id is not None and (handle := await self._handles.new(task_id)) is not None:
            # What follows is told through the handle. `attention` would be lost with the result.
            return self._as_call_result(result, {RECEIPT: handle})
        return await self._finish(result)

    async def _form(
        self, ctx: Context, params: CallToolRequestParams, call: Call, arguments: Arguments
    ) -> InputRequiredResult | None:
        """Ask a person for the confirmation that a tool needs; None: they gave it, or none is
        needed. Here, because a form is a request to the client, and a use case knows no client."""
        if isinstance(arguments, DeleteArguments) and arguments.deletes:
            return await confirmed(ctx, params, *(await deletion_asked(call, arguments)))
        if is_delivery(arguments) and arguments.confirm and can_ask(ctx):
            return await confirmed(ctx, params, *(await delivery_asked(call, arguments)))
        return None

    async def _run(
        self,
        ctx: Context,
        params: CallToolRequestParams,
        entry: ToolEntry,
        call: Call,
        arguments: Arguments,
    ) -> Result | InputRequiredResult:
        """Run the tool. If it needs the user's consent, ask for that and run it again."""
        try:
            return await entry.handler(call, arguments)
        except NeedsConsent as need:
            consent = await answer(ctx, params, self._session.caller, need)
            if isinstance(consent, InputRequiredResult):
                return consent
            answered = replace(call, consent=consent, unasked=consent is None)
            return await entry.handler(answered, arguments)

    async def _finish(self, result: Result) -> CallToolResult:
        broadcaster, limit = (
            self._services.broadcaster,
            self._services.tasks.settings.attention_limit,
        )
        # Calls run side by side; under the lock no two answers of a session carry the same events.
        async with self._session.gathering:
            try:
                news = await broadcaster.attention(self._session, limit)
            except DamagedRecord as damaged:
                # What was asked for is answered all the same.
                log.warning("events cannot be reported: %s", damaged)
                return self._as_call_result(result)
            views = self._services.status.event_views
            shown = besides_shown(result, news.events)
            events = await anyio.to_thread.run_sync(views, shown, self._session.caller)
            result.attention, result.attention_more = [*events], news.more or None
            answer = self._as_call_result(result)
            # Events of a call that its client withdraws before this point count as unreported.
            await anyio.lowlevel.checkpoint()
            self._session.report(news, broadcaster.clock())
        return answer

    def _as_call_result(self, result: Result, meta: dict[str, Any] | None = None) -> CallToolResult:
        drop_refused_calls(result, self._works)
        brief(result)
        data = result.model_dump(mode="json", exclude_none=True)
        # Gemini CLI and opencode show their model the text alone, Codex and Claude Code the
        # structure.
        # The specification also wants the same JSON as text. A model that is shown both would pay
        # for it twice, and one that is shown the text alone reads sentences more cheaply than JSON.
        text = TextContent(type="text", text=text_of(result))
        return CallToolResult(content=[text], structured_content=data, _meta=meta)

    def _corrected(
        self, error: RoverError, entry: ToolEntry, given: Mapping[str, Any]
    ) -> Mapping[str, object] | None:
        call = corrected(error, entry, given)
        if call is None or error.next_call is not None:
            return call
        works = self._works(NextAction.model_validate({**call, "why": ""}))
        return call if works else {"tool": "get_status", "arguments": {}}

    def _error(
        self, error: RoverError, named: Mapping[str, object] | None = None
    ) -> CallToolResult:
        """An error that the caller can fix, as a tool error that says what to do."""
        call = callable_next(named or error.next_call, self._tools)
        message = visible(error.message)
        content = {"code": error.code, "message": message, "hint": error.hint, "next_call": call}
        text = message + (f". {error.hint}" if error.hint else "")
        if call:
            text += f". Next: {json.dumps(call)}"
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            structured_content={"error": {k: v for k, v in content.items() if v is not None}},
            is_error=True,
        )


def _progress(ctx: Context) -> Progress:
    """Reports the progress of a call in percent."""
    increasing = IncreasingProgress()

    async def report(value: float, message: str) -> None:
        await ctx.session.report_progress(increasing(value), 100, message)

    return report


def _started(entry: ToolEntry, result: Result) -> str | None:
    """The id of the task that a call created or resumed."""
    return result.task.id if entry.starts and isinstance(result, TaskResult) else None
