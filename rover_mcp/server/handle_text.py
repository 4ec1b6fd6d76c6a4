"""The texts of a handle for a client of the Tasks extension. Its model may be shown nothing else,
so each message says which task it is, where its work will be, and what is wrong. Pure."""

from __future__ import annotations

from typing import Any

from rover_mcp.server.task_text import task_text
from rover_mcp.tasks.quoted_text import quoted, shortened
from rover_mcp.tasks.view_models import TaskView

AGENT_TASK = "com.anthropic/agent-task"
"""The key in a handle's `_meta` under which Claude Code looks for what it shows its model at once.
It shows 2,000 characters of it."""
# Below the limit of 2,000, so that a text that Claude Code cuts does not lose its last call.
NOTE_SHOWN = 1800
TITLE_SHOWN = 80
WARNINGS_SHOWN = 3
WARNING_SHOWN = 250
"""Characters of a warning in a status."""


def status_message(view: TaskView, now: str) -> str:
    """The status of a task in words: which task it is, then `now`, then its warnings."""
    end = "" if now.endswith((".", '"')) else "."
    place = f" on branch {view.branch}" if view.branch else ""
    head = f"Task {view.number} {quoted(view.title, TITLE_SHOWN)}{place}"
    return " ".join([f"{head}: {now}{end}", *_warnings(view)])


def first_note(view: TaskView) -> dict[str, Any]:
    """The `_meta` of a handle: what the model is shown in place of the result of its call."""
    # Its client waits for it.
    others = [action for action in view.next_actions if action.tool != "wait_for_task"]
    text = task_text(view.model_copy(update={"next_actions": others}))
    return {AGENT_TASK: {"modelImmediateResponse": text[:NOTE_SHOWN]}}


def _warnings(view: TaskView) -> list[str]:
    warnings = view.warnings or []
    shown = [f"Warning: {shortened(w, WARNING_SHOWN)}." for w in warnings[:WARNINGS_SHOWN]]
    more = len(warnings) - len(shown)
    return [*shown, f"{more} more warnings: inspect."] if more > 0 else shown
