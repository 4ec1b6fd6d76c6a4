"""What each tool returns, and its schema. One TaskView for all that return a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from rover_mcp.tasks.models import ChangesView, EventView, ListedTask, NextAction, TaskView


class Result(BaseModel):
    """`attention` is what happened to your tasks that you have not been told yet."""

    attention: list[EventView] = []
    attention_more: int | None = None


class TaskResult(Result):
    task: TaskView


class DamagedTaskView(BaseModel):
    """A task whose record cannot be read, as far as it can."""

    id: str | None = None
    number: int | None = None
    title: str | None = None
    project: str | None = None
    damage: str
    next_actions: list[NextAction] = []


class TaskListResult(Result):
    """`damaged` are tasks whose records cannot be read; a warning says the same of each."""

    tasks: Sequence[ListedTask]
    next_cursor: str | None = None
    damaged: list[DamagedTaskView] | None = None
    warnings: list[str] | None = None


class InspectResult(TaskResult):
    events: list[EventView] | None = None


class WaitResult(TaskResult):
    returned: Literal["paused", "ended", "news", "timeout"]


class ResumeTaskResult(TaskResult):
    """All of it says what the call did; the task's own end, told through a handle, has only the
    task."""

    result: (
        Literal["resumed", "scheduled", "already_resuming", "not_resumable", "failed"] | None
    ) = None
    has_checkpoint: bool | None = None
    message: str | None = None


class AutoResumeResult(Result):
    """`changed` tasks that were paused wait for a person from now on, or no longer do."""

    enabled: bool
    scope: Literal["task", "project", "all"]
    changed: int
    still_off: str | None = None


class DeleteItem(BaseModel):
    what: str
    kept: bool
    detail: str


class DeleteResult(Result):
    """`deleted` is false where it was only told what would be lost."""

    task_id: str
    deleted: bool
    items: list[DeleteItem]
    next_actions: list[NextAction] = []


class LogsResult(Result):
    task_id: str
    step: str | None = None
    text: str
    truncated: bool
    untrusted: bool = True


class DiffToolResult(Result):
    task_id: str
    changes: ChangesView
    patch: str | None = None
    truncated: bool
    elsewhere: int | None = None
    """changed files outside the paths, where none of these changed"""
    untrusted: bool = True


class InputView(BaseModel):
    name: str
    description: str | None = None
    required: bool
    default: str | None = None


class WorkflowView(BaseModel):
    name: str
    source: str
    shadowed: str | None = None
    description: str | None = None
    inputs: list[InputView] = []
    steps: list[str] = []
    error: str | None = None


class WorkflowsResult(Result):
    workflows: list[WorkflowView]


class EngineView(BaseModel):
    name: str
    available: bool
    version: str | None = None
    reason: str | None = None
    hint: str | None = None
    limits_not_applied: list[str] = []


class AgentView(BaseModel):
    name: str
    installed: bool
    signed_in: bool
    source: str | None = None
    version: str | None = None
    credential: str | None = None
    path: str | None = None
    hint: str | None = None


class QueueView(BaseModel):
    running: int
    queued: int
    paused: int
    limit: int


class HoldView(BaseModel):
    """An account, or one model of it, that refuses. `waiting` tasks need it; `probe` tries it."""

    account: str
    model: str | None = None
    provider: str | None = None
    reason: str
    message: str
    since: datetime
    until: datetime
    waiting: int
    probe: int | None = None


class SwitchesView(BaseModel):
    """Where automatic resumes are off, but for tasks switched off one by one."""

    off_for_all: bool
    off_in_config: bool
    off_in_projects: list[str] = []


class ProjectUseView(BaseModel):
    project: str
    bytes: int
    kinds: dict[str, int]


class DiskUseView(BaseModel):
    """What the data folder takes, without what container engines keep. The largest projects."""

    measured_at: datetime
    age_s: int
    bytes: int
    kinds: dict[str, int]
    projects: list[ProjectUseView] = []
    projects_more: int | None = None


class DiskView(BaseModel):
    """`used` is not there until it has been measured once, and for no user over HTTP."""

    free_bytes: int
    used: DiskUseView | None = None


class TroubleView(BaseModel):
    message: str
    hint: str


class StatusResult(Result):
    version: str
    notice: str | None = None
    cannot_start: TroubleView | None = None
    home: str | None = None
    engines: list[EngineView]
    agents: list[AgentView]
    credentials: dict[str, bool]
    unpriced: list[str] = []
    queue: QueueView
    holds: list[HoldView] = []
    auto_resume: SwitchesView
    disk: DiskView


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A result's schema, small: types and enums down to a task's own fields, no prose.

    The whole list of tools has to stay under 6,000 tokens, and every result has to be valid
    against it: an error result carries `error` instead.
    """
    full = model.model_json_schema(mode="serialization")
    definitions: Mapping[str, Any] = full.get("$defs", {})
    properties = {
        name: _compact(value, definitions, depth=2 if name == "task" else 0)
        for name, value in full["properties"].items()
    }
    if model is not InspectResult and "task" in properties:
        # What a task always has, and why it stands still; inspect lists the rest.
        task = properties["task"]
        kept = {*task["required"], "pause", "error", "next_actions"}
        task["properties"] = {k: v for k, v in task["properties"].items() if k in kept}
    required = [n for n in full.get("required", []) if n in properties]
    return {
        "type": "object",
        "properties": {**properties, "error": {"type": "object"}},
        "anyOf": [{"required": required}, {"required": ["error"]}],
    }


def _compact(node: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if "$ref" in node:
        node = definitions[node["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in node:
        # Nulls are left out of results, so the other form is the only one.
        return _compact(
            next(n for n in node["anyOf"] if n.get("type") != "null"), definitions, depth
        )
    small = {k: node[k] for k in ("type", "enum", "const") if k in node}
    if depth > 0 and "properties" in node:
        small["properties"] = {
            k: _compact(v, definitions, depth - 2) for k, v in node["properties"].items()
        }
        small["required"] = node.get("required", [])
    return small


def input_schema(model: type[BaseModel]) -> dict[str, Any]:
    """An argument model's schema without titles and null branches."""
    full = model.model_json_schema()
    definitions: Mapping[str, Any] = full.pop("$defs", {})
    schema: dict[str, Any] = _slim(full, definitions)
    schema.setdefault("properties", {})
    return schema


def _slim(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_slim(item, definitions) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    current: dict[str, Any] = node  # pyright: ignore[reportUnknownVariableType]
    if "$ref" in current:
        current = definitions[current["$ref"].rsplit("/", 1)[1]]
        current = {k: v for k, v in current.items() if k != "description"}
    if "anyOf" in current:
        other = next(n for n in current["anyOf"] if n.get("type") != "null")
        rest = {k: v for k, v in current.items() if k not in ("anyOf", "default")}
        current = {**_slim(other, definitions), **rest}
    return {
        k: _slim(v, definitions)
        if k != "properties"
        else {n: _slim(p, definitions) for n, p in v.items()}
        for k, v in current.items()
        if not (k == "title" and isinstance(v, str)) and not (k == "default" and v is None)
    }
