"""The use case of iterating: new instructions for a task that has ended, on the same branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent_runner.models import AgentSession, Snapshot
from agent_runner.spec import Instructions, ReviewComment
from rover_mcp.domain.attempt_state import STARTED
from rover_mcp.domain.errors import Conflict, RoverError, UserFixable
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import DELETING, Event, TaskStatus, sources
from rover_mcp.domain.text import plain
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.agent_checks import AgentChecks
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.history import (
    HistoryPoint,
    checkpoint_at,
    find_snapshot,
    snapshots_of,
    stood_on,
)
from rover_mcp.tasks.live_reader import LiveTaskReader
from rover_mcp.tasks.pause_view import spent
from rover_mcp.tasks.quoted_text import named
from rover_mcp.tasks.resolver_tasks import check_has_branch
from rover_mcp.tasks.task_ports import Work
from rover_mcp.tasks.view_models import NextAction, TaskView

MOST_CHANGES = 20_000
"""Characters of the patch that an agent is shown; it can ask git for the rest."""
ITERABLE = sources(Event.ITERATE)
ONLY_COMMENTS = "Address the review comments"
"""The instructions where a reviewer has given only comments."""


@dataclass(frozen=True)
class IterateTask:
    """Runs a task's workflow again for new instructions, with a journal of its own. The agents
    continue their conversations where they can, and usage and budget count on."""

    reader: LiveTaskReader
    work: Work
    agents: AgentChecks

    def __call__(
        self,
        caller: Caller,
        task: TaskRow,
        instructions: str,
        comments: Sequence[ReviewComment] = (),
        from_snapshot: str | None = None,
    ) -> TaskView:
        """Begin the next iteration. `from_snapshot`: from the tree of that snapshot, which the
        branch then holds as a change on top of what it has; nothing that was there is lost.

        Raises:
            UserFixable: there are neither instructions nor comments.
            NotFound: the task has no such snapshot.
            Conflict: the task has not ended, or its work was merged, or it is being deleted.
        """
        # Checked before the task's status, so that an empty call is reported as that.
        text = _instructions(instructions, comments)
        self._check(task)
        store = self.reader.store
        base_warnings = self._base_warnings(task)
        given, warnings = self._given(task, text, comments, self._origin(task, from_snapshot))
        folders = TaskFolders(self.reader.settings.home, task.id, task.iteration + 1)
        # An iteration whose start failed may have left a request to pause it.
        folders.pause_request.unlink(missing_ok=True)
        columns = self.agents.program_column(caller, task)
        begun = store.transitions.iterate(task.id, task.attempt, caller.client_id, given, **columns)
        # Another call was quicker, or a deletion has begun since `_check`.
        if begun is None:
            raise self._refused(store.tasks.get(task.id) or task)
        row, attempt = begun
        self.reader.control.enqueue(attempt)
        view = self.reader.with_cautions(row)
        view.warnings = [*base_warnings, *warnings, *(view.warnings or [])] or None
        return view

    def _base_warnings(self, task: TaskRow) -> list[str]:
        """A warning where the base has commits that the branch lacks."""
        try:
            distance = self.work.distance(task)
        except RoverError:
            return []  # a repository that is gone is not what the call is about
        if not distance.ahead or not distance.behind:
            return []
        new = ", ".join(f"{n} on {named(ref, 80)}" for ref, n in distance.behind.items())
        return [
            "the iteration does not have the new commits of its base, as of the last fetch: "
            f"{new}; rebase_task brings them in once the iteration has ended"
        ]

    def _check(self, task: TaskRow) -> None:
        check_has_branch(task)
        if task.status not in ITERABLE:
            raise self._refused(task)
        store = self.reader.store
        if store.events.of_kinds(task.id, [DELETING]):
            delete = NextAction(tool="delete_task", arguments={"task": task.id}, why="complete it")
            raise _conflict("its deletion has begun", delete)
        attempt = store.attempts.get(task.id, task.attempt)
        stopping = attempt is not None and attempt.state in STARTED
        if task.status is TaskStatus.CANCELLED and stopping:
            raise _conflict("it is still being stopped; call iterate_task again in a few seconds")

    def _refused(self, task: TaskRow) -> Conflict:
        name = f"task {task.number}"
        if task.status is TaskStatus.PAUSED:
            action = NextAction(tool="resume_task", arguments={"task": task.id}, why="")
            return _conflict(
                f"{name} is PAUSED: resume_task continues it; new instructions are for a task "
                "that has ended",
                action,
            )
        if task.status is TaskStatus.MERGED:
            action = NextAction(tool="create_task", arguments={}, why="")
            return _conflict(f"{name} is MERGED; make a new task for what is still missing", action)
        if task.status in ITERABLE:
            return _conflict(f"something else is done with {name}; call again in a few seconds")
        action = NextAction(tool="wait_for_task", arguments={"task": task.id}, why="")
        return _conflict(f"{name} is {task.status}; it can be iterated once it has ended", action)

    def _given(
        self,
        task: TaskRow,
        text: str,
        comments: Sequence[ReviewComment],
        origin: HistoryPoint | None,
    ) -> tuple[IterationInput, list[str]]:
        """What the iteration starts with, and what is missing of it, in words."""
        patch, warnings = self._changes(task, origin.entry.snapshot if origin else None)
        given = IterationInput(
            instructions=Instructions(
                text=text,
                comments=tuple(comments),
                changes=patch,
                rewound=plain(origin.entry.place) if origin else "",
            ),
            sessions=dict(origin.sessions) if origin else _sessions(task),
            # A budget is for the task and not for an iteration, so what earlier ones spent counts
            # on.
            usage=spent(task.run_state),
            **_start(task, origin),
        )
        return given, warnings

    def _origin(self, task: TaskRow, name: str | None) -> HistoryPoint | None:
        """What was known at the snapshot with this name."""
        if name is None:
            return None
        home = self.reader.settings.home
        entry = find_snapshot(snapshots_of(home, task), name)
        if stood_on(home, task, entry) != task.onto:
            # Its files on top of the branch would take back what the rebase brought in.
            fork = NextAction(
                tool="fork_task", arguments={"task": task.id, "snapshot": entry.name}, why=""
            )
            raise _conflict(f"{entry.name} is from before the branch was rebased", fork)
        return checkpoint_at(home, task, entry)

    def _changes(self, task: TaskRow, until: Snapshot | None) -> tuple[str, list[str]]:
        """The beginning of what the task had changed by this snapshot, or so far, and a warning
        where that cannot be read: the agent finds it in the work tree all the same."""
        between = (task.base_commit, until.commit) if until else None
        try:
            changes = self.work.diff(task, (), stat_only=False, between=between)
            return changes.patch[:MOST_CHANGES], []
        except RoverError as error:
            return "", [f"the instructions are without the changes so far: {error.message}"]


def _instructions(given: str, comments: Sequence[ReviewComment]) -> str:
    text = plain(given).strip()
    if not text and not comments:
        raise UserFixable(
            "there are no instructions for the next iteration",
            code="invalid_instructions",
            hint='say what to change, for example {"instructions": "Also handle empty input"}',
        )
    return text or ONLY_COMMENTS


def _start(task: TaskRow, origin: HistoryPoint | None) -> dict[str, Any]:
    """What the iteration starts from. One that was sent back and left no snapshot of its own
    leaves it to the next one where it is to start."""
    last = task.run_state.snapshot if task.run_state else None
    if origin is not None:
        # The branch only ever moves on: the tree comes as a change on top of what it has.
        head = last.head if last else task.base_commit
        return {
            "snapshot": origin.entry.snapshot.model_copy(update={"head": head}),
            "rewound": True,
        }
    before = task.iteration_input
    return {"snapshot": last, "rewound": bool(before and before.begin and before.begin == last)}


def _sessions(task: TaskRow) -> dict[str, AgentSession]:
    """The newest conversation of each step."""
    earlier = task.iteration_input.sessions if task.iteration_input else {}
    steps = task.run_state.steps if task.run_state else []
    return {**earlier, **{step.id: step.session for step in steps if step.session}}


def _conflict(why: str, action: NextAction | None = None) -> Conflict:
    call = {"tool": action.tool, "arguments": action.arguments} if action else None
    return Conflict(why, code="not_iterable", next_call=call)
