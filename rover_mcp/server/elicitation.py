"""The forms that a person is shown: what to do about a paused task, and whether to delete or merge
one.

Forms follow MCP 2026-07-28: a flat object schema, with a choice as `oneOf` of constants. The
confirmation of a deletion or a merge is asked for in both eras: in 2026-07-28 by a result that
requires input and a repeated call, before that by a request to the client. If the client cannot
show forms, `confirm` in the call counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_runner.models import PauseReason
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.pause_words import paused_for, resumption, sentence
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.server.tasks_extension.protocol import Context
from rover_mcp.tasks.pause_view import CLOSED
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.view_models import NextAction, TaskView

NOW = "now"
WAIT = "wait"
CANCEL = "cancel"
_WITH = "with_"
_ON = "on_"
_BUDGETS = {"budget_usd": "number", "budget_tokens": "integer"}
CHOICE = "choice"


@dataclass(frozen=True)
class Confirmation:
    """The two answers that a person chooses between, each as its constant and its title, the report
    where the answer is not `yes`, and the verb of `rover` that does the same in a terminal."""

    no: tuple[str, str]
    yes: tuple[str, str]
    refused: str
    command: str

    @property
    def form(self) -> dict[str, Any]:
        """The form's schema. It has a choice and not a boolean, because VS Code 1.139 preselects
        `true`, whatever the default is."""
        choice = {
            "type": "string",
            "title": "What should happen?",
            "oneOf": [{"const": name, "title": title} for name, title in (self.no, self.yes)],
            "default": self.no[0],
        }
        return {"type": "object", "properties": {CHOICE: choice}, "required": [CHOICE]}


DELETION = Confirmation(
    ("keep", "Keep it"), ("delete", "Delete it"), "nothing was deleted", "delete"
)
CHOICE_OF_RACE = Confirmation(
    ("keep", "Keep them all"), ("choose", "Choose it"), "nothing was chosen", "choose"
)
MERGE = Confirmation(("leave", "Leave it"), ("merge", "Merge it"), "nothing was merged", "merge")
PUSH = Confirmation(("leave", "Leave it"), ("push", "Push it"), "nothing was pushed", "push")


@dataclass(frozen=True)
class Decision:
    """What a person decided. `leave`: the task stays paused and the question is not asked again."""

    action: Literal["resume", "cancel", "leave"]
    agent: str | None = None
    model: str | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    accept: bool = False


class _Content(BaseModel):
    model_config = ConfigDict(extra="ignore")

    choice: str
    budget_usd: float | None = Field(None, gt=0, le=1_000_000, allow_inf_nan=False)
    budget_tokens: int | None = Field(None, gt=0, le=10**12)


def pause_message(view: TaskView) -> str:
    """Why a task is paused, and whether it resumes automatically, in one line."""
    pause = view.pause
    if pause is None:
        return view.phase
    at = utc_minute(pause.retry_at) if pause.retry_at else None
    after = resumption(automatic=pause.auto_resume, at=at, because=pause.waits_because)
    return f"{paused_for(pause.reason)}: {pause.message}. {sentence(after)}"


def needs_person(view: TaskView) -> bool:
    """Whether only a person can help: the task does not resume automatically, or only once someone
    has supplied a credential; and it was not a person who paused it."""
    pause = view.pause
    if pause is None or pause.reason is PauseReason.REQUESTED:
        return False
    # A pause that ends automatically stays `working` for the extension: Claude Code opens a dialog
    # for input_required and stops polling until it is answered.
    return pause.reason is PauseReason.AUTH or not pause.auto_resume


def pause_form(view: TaskView) -> dict[str, Any]:
    """An `elicitation/create` request about a PAUSED task."""
    choice: dict[str, Any] = {
        "type": "string",
        "title": "What should happen?",
        "oneOf": [{"const": name, "title": title} for name, title in _choices(view).items()],
    }
    if not _accepts(view):
        # The default is what Enter does in most dialogs: it must not start a task that pauses again
        # at once. To deliver work that no one has looked at is no default at all.
        choice["default"] = WAIT if _would_pause_again(view) else NOW
    properties: dict[str, Any] = {"choice": choice}
    resume = _resumes(view)[0]
    for name, kind in _BUDGETS.items():
        if name in resume.arguments:
            default = {"default": resume.arguments[name]}
        elif _used_up(view, name):
            default = {}  # a person may give more than a call
        else:
            continue
        properties[name] = {"type": kind, "title": "New budget", **default}
    return {
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": f"Task {view.number} {quoted(view.title, 80)} is {pause_message(view)} "
            f"What helps: {resume.why.rstrip('.')}.",
            "requestedSchema": {
                "type": "object",
                "properties": properties,
                "required": ["choice"],
            },
        },
    }


def decision(view: TaskView, response: object) -> Decision:
    """The decision in an ElicitResult.

    Raises:
        UserFixable: it is malformed, or not one of the choices.
    """
    answer = cast("Mapping[str, object]", response if isinstance(response, Mapping) else {})
    match answer.get("action"):
        case "accept":
            return _accepted(view, answer.get("content"))
        case "decline" | "cancel":
            return Decision("leave")
        case _:
            raise UserFixable("the action of an answer must be accept, decline or cancel")


def _accepted(view: TaskView, content: object) -> Decision:
    choices = _choices(view)
    try:
        chosen = _Content.model_validate(content)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, e["loc"])) or "content" for e in error.errors())
        raise UserFixable(f"the answer does not fit the form: {wrong}") from error
    if chosen.choice not in choices:
        raise UserFixable(f"choice must be one of {', '.join(choices)}")
    if chosen.choice == WAIT:
        return Decision("leave")
    if chosen.choice == CANCEL:
        return Decision("cancel")
    defaults = {k: v for k, v in _resumes(view)[0].arguments.items() if k in _BUDGETS}
    return Decision(
        "resume",
        agent=_after(_WITH, chosen.choice),
        model=_after(_ON, chosen.choice),
        accept=chosen.choice == NOW and _accepts(view),
        budget_usd=chosen.budget_usd or defaults.get("budget_usd"),
        budget_tokens=chosen.budget_tokens or defaults.get("budget_tokens"),
    )


def _after(prefix: str, choice: str) -> str | None:
    return choice.removeprefix(prefix) if choice.startswith(prefix) else None


def _used_up(view: TaskView, name: str) -> bool:
    """Whether a budget has ended and only more than the user's own budget would help."""
    if view.pause is None or view.pause.reason is not PauseReason.BUDGET or view.budget is None:
        return False
    offered = set(_resumes(view)[0].arguments) & set(_BUDGETS)
    return not offered and getattr(view.budget, name.removeprefix("budget_")) is not None


def _choices(view: TaskView) -> dict[str, str]:
    """The choices with their titles, the most useful first. The titles are short: Claude Code's
    dialog shows 47 characters of a choice."""
    _, *others = _resumes(view)
    choices = {NOW: "Accept: deliver the work as it is" if _accepts(view) else "Resume now"}
    for other in others:
        given = other.arguments
        if "model" in given:
            choices[f"{_ON}{given['model']}"] = f"Resume now with {given['model']}"
        else:
            choices[f"{_WITH}{given['agent']}"] = other.why.capitalize()
    choices[WAIT] = "Leave it paused; it can be resumed later"
    choices[CANCEL] = "Cancel it; what it did so far is kept"
    return choices


def _would_pause_again(view: TaskView) -> bool:
    """Whether resuming helps only after something outside of Rover has changed."""
    return view.pause is not None and view.pause.reason in (*CLOSED, PauseReason.AUTH)


def _accepts(view: TaskView) -> bool:
    """Whether resuming delivers work that a person has looked at."""
    return view.pause is not None and view.pause.reason is PauseReason.NEEDS_LOOK


def _resumes(view: TaskView) -> list[NextAction]:
    """The calls that resume the task: as it was, then with other models and agents."""
    return [a for a in view.next_actions if a.tool == "resume_task"]


def can_ask(ctx: Context) -> bool:
    """Whether the client can show forms to a person."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


async def confirmed(
    ctx: Context, params: CallToolRequestParams, message: str, asks: Confirmation
) -> InputRequiredResult | None:
    """Ask a person to confirm. None: they did, or the client cannot ask and `confirm` counts. A
    result: the client has to ask first and then repeats the call.

    Raises:
        UserFixable: the person said no, or could not be asked.
    """
    # The client of a script cannot ask anybody. There `confirm` in the call is the decision of
    # whoever wrote the script.
    if not can_ask(ctx):
        return None
    form = ElicitRequestFormParams(message=message, requested_schema=asks.form)
    # On a connection of 2026-07-28 a server cannot send requests: it returns what it needs, and the
    # client repeats the call with the answer.
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        response = (params.input_responses or {}).get(CHOICE)
        if not isinstance(response, ElicitResult):
            return InputRequiredResult(input_requests={CHOICE: ElicitRequest(params=form)})
    else:
        try:
            response = await ctx.session.elicit_form(message, asks.form, ctx.request_id)
        except MCPError as error:
            raise UserFixable(
                f"the user could not be asked: {error}", code="not_confirmed"
            ) from error
    if response.action != "accept" or (response.content or {}).get(CHOICE) != asks.yes[0]:
        raise UserFixable(
            f"not confirmed: {asks.refused}",
            code="not_confirmed",
            # A client that runs without a person (claude -p) declares forms and answers none.
            hint="The user confirms it in this client's dialog, or runs "
            f"`rover {asks.command}` in a terminal",
        )
    return None
