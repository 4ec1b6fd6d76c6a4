"""Facts about a task's work before it is delivered, which delivery_warnings.py judges."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent_runner.journal.journal_reader import stream_journal
from agent_runner.journal.record_lines import RecordType
from agent_runner.models import RunState, Snapshot
from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import CommandStep, WorkflowError, walk
from rover_mcp.control.checkpoint import named_snapshots
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.delivery_warnings import Delivery, doubt
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.records import TaskRow

HOW = (
    "nothing was delivered. get_diff shows it; resume_task with accept=true delivers it as it is, "
    "without running a step again; cancel_task leaves it undelivered"
)

_INPUT = re.compile(r"\{\{\s*inputs\.(\w+)\s*\}\}")
_WORDS = 1_000_000
"""Greatest number of characters that are searched, in all texts together."""


def in_doubt(task: TaskRow, folders: TaskFolders, hub: ProjectHub, state: RunState) -> str | None:
    """Why a person has to look at the work of a finished run before it is delivered; None if there
    is no doubt about it, or a person has accepted it.

    Raises:
        RoverError: the hub cannot be read.
    """
    last = state.snapshot
    if last is None or accepted(folders) == last.head:
        return None
    base, ended = _before(task, folders), after_steps(folders.journal)

    def names(commit: str) -> list[str]:
        return list(hub.files(task.id, task.base_commit, commit))

    reason = doubt(
        Delivery(
            changes=hub.changes(task.id, task.base_commit, base, last.head),
            late=hub.changes(task.id, task.base_commit, ended.commit, last.head) if ended else (),
            words=tuple(_words(task, folders, state)),
            before=lambda: names(base),
            after=lambda: names(last.head),
        )
    )
    return f"{reason}; {HOW}" if reason else None


def accepted(folders: TaskFolders) -> str:
    """The commit that a person has accepted as the result; empty if there is none."""
    try:
        return folders.accepted.read_text("utf-8").strip()
    except OSError:
        return ""


def _before(task: TaskRow, folders: TaskFolders) -> str:
    """The commit that was delivered last: the end of the earlier iteration, or the base."""
    if task.iteration_input is not None and (begin := task.iteration_input.begin):
        # A person went back to this point, so what is missing since was not deleted by a step.
        return begin.commit
    if task.iteration == 1:
        return task.base_commit
    earlier = TaskFolders(folders.home, task.id, task.iteration - 1)
    known = named_snapshots(earlier)
    return known[-1].head if known else task.base_commit


def after_steps(journal: Path) -> Snapshot | None:
    """The work tree after the last step; None if no step has ended, or its tree was not
    recorded."""
    last: Snapshot | None = None
    for record in stream_journal(journal):
        ends = record.type in (RecordType.STEP_COMPLETE, RecordType.STEP_FAIL)
        if record.type is RecordType.RUN_START and record.data.get("restart"):
            last = None
        elif ends and "snapshot" in record.data:
            raw = record.data["snapshot"]
            snapshot = None if raw is None else Snapshot.model_validate(raw)
            # Steps that run in parallel end in any order, so the newest snapshot counts.
            if snapshot is None or last is None or snapshot.sequence >= last.sequence:
                last = snapshot
    return last


def _words(task: TaskRow, folders: TaskFolders, state: RunState) -> Iterator[str]:
    left = _WORDS
    for text in _texts(task, folders, state):
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)


def _texts(task: TaskRow, folders: TaskFolders, state: RunState) -> Iterator[str]:
    yield from (task.title, task.description, *task.inputs.values())
    yield from (_filled(text, task.inputs) for text in _commands(task, folders))
    for step in state.steps:
        if step.type == "agent":
            yield from (*step.outputs.values(), step.detail or "")


def _commands(task: TaskRow, folders: TaskFolders) -> Iterator[str]:
    """The text of every command of the workflow and of the project's hooks."""
    if task.config is not None:
        hooks = task.config.hooks.as_spec()
        yield from (*hooks.before_agent, *hooks.after_step, *hooks.after_task)
    try:
        steps = load_workflow(folders.spec(task.attempt) / "workflow.yaml").steps
    except (OSError, WorkflowError):
        return
    for step, _ in walk(steps):
        if isinstance(step, CommandStep):
            yield " ".join((step.command, *step.args))


def _filled(text: str, inputs: Mapping[str, str]) -> str:
    return _INPUT.sub(lambda match: inputs.get(match[1], ""), text)
