"""What is special about a task that resolves the conflicts of another one's rebase."""

from __future__ import annotations

from agent_runner.models import RunStatus
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.task_links import ResolvesFor
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.view_models import NextAction


def resolved_rebase(task: TaskRow) -> ResolvesFor | None:
    """The rebase whose conflicts a task resolves; None: it is an ordinary task."""
    return task.links.resolves if task.links else None


def check_has_branch(task: TaskRow) -> None:
    """That a task has a branch of its own, which can be merged, pushed, rebased or continued.

    Raises:
        Conflict: its result becomes part of another task's branch.
    """
    if (rebase := resolved_rebase(task)) is not None:
        raise Conflict(
            f"task {task.number} has no branch: it resolves the conflicts of task {rebase.number}",
            code="resolves_conflicts",
            hint="rebase_task uses its result, and calls for another one if the user wants that",
            next_call={"tool": "rebase_task", "arguments": {"task": rebase.task}},
        )


def failed_by_judgement(task: TaskRow) -> bool:
    """Whether a task did all of its steps, and what it made of the conflicts does not count: to
    resume it would end in the same verdict."""
    ran = task.run_state is not None and task.run_state.status is RunStatus.COMPLETED
    return resolved_rebase(task) is not None and task.status is TaskStatus.FAILED and ran


def resolve_again(rebase: ResolvesFor) -> NextAction:
    """The call that has another task resolve what is left."""
    return NextAction(
        tool="rebase_task",
        arguments={"task": rebase.task, "onto": rebase.base_branch, "resolve": True},
        why="have another task resolve what is left",
    )


def show_the_result(rebase: ResolvesFor) -> NextAction:
    """The call that shows how the conflicts were resolved."""
    return NextAction(
        tool="rebase_task",
        arguments={"task": rebase.task, "onto": rebase.base_branch},
        why=f"see how the conflicts of task {rebase.number} were resolved",
    )


def after_failure(task: TaskRow, rebase: ResolvesFor, resume: NextAction) -> list[NextAction]:
    """What to call after such a task has failed; `resume` where that would help."""
    return [*([] if failed_by_judgement(task) else [resume]), resolve_again(rebase)]
