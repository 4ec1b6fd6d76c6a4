"""Completion of what prompts and resource templates take."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_types import Completion, PromptReference, ResourceTemplateReference

from rover_mcp.server.session import ClientSession
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.status_report import StatusReport

MOST = 100
"""Values in an answer: the protocol's limit."""


def complete(
    tasks: TaskService,
    status: StatusReport,
    session: ClientSession,
    ref: PromptReference | ResourceTemplateReference,
    argument: str,
    typed: str,
    task_id: str | None = None,
) -> Completion:
    """What `argument` of a prompt or a template could be, beginning with what was typed. A prompt
    names a task by its number, an address by its id. `task_id`: what the address names already.
    Nothing where nothing is known."""
    match ref, argument:
        case PromptReference(), "task":
            views = tasks.list(session.caller, (), None, None, MOST)[0]
            return _beginning([str(view.number) for view in views], typed)
        case ResourceTemplateReference(), "id":
            views = tasks.list(session.caller, (), None, None, MOST)[0]
            return _beginning([view.id for view in views], typed)
        case ResourceTemplateReference(), "step" if task_id:
            view = tasks.view(tasks.finder.find(session.caller, task_id), full=True)
            return _beginning([step.id for step in view.steps or ()], typed)
        case (PromptReference(), "workflow") | (ResourceTemplateReference(), "name"):
            known = [w["name"] for w in status.workflows(session.caller, None)]
            return _beginning(known, typed)
        case _:
            return Completion(values=[])


def _beginning(values: Sequence[str], typed: str) -> Completion:
    found = [v for v in dict.fromkeys(values) if v.startswith(typed)]
    return Completion(values=found[:MOST], total=len(found), has_more=len(found) > MOST)
