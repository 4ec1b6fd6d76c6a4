"""Which group a task belongs to on the board, in which order, and what can be done with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent_runner.models import Budget, PauseReason, Usage
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.tasks.inbox import InboxGroup, InboxRow, inbox_actions, inbox_row
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.task_view import task_view
from rover_mcp.tasks.view_models import NextAction, TaskView
from tests.support.samples import NOW, pause, run_state, task_row

AT = NOW.timestamp()
POLICY = Policy(off=frozenset(), config_off=False, max_auto_retries=5)


def view(status: TaskStatus, **changes: Any) -> TaskView:
    row = replace(task_row(status=status), **changes)
    return task_view(row, changes.get("run_state"), None, AT, POLICY, full=False)


def paused(reason: PauseReason, at: float | None = None, **changes: Any) -> TaskView:
    values = {"pause": pause(reason), "paused_at": AT - 50, "retry_at": at, **changes}
    return view(TaskStatus.PAUSED, **values)


def row(shown: TaskView, *, seen: bool = False) -> InboxRow:
    return inbox_row(shown, AT, seen=seen)


@pytest.mark.parametrize(
    ("status", "seen", "group"),
    [
        (TaskStatus.NEW, False, InboxGroup.WAITING),
        (TaskStatus.IN_PROGRESS, False, InboxGroup.WORKING),
        (TaskStatus.ITERATING, True, InboxGroup.WORKING),
        (TaskStatus.FAILED, False, InboxGroup.FAILED),
        (TaskStatus.FAILED, True, InboxGroup.IDLE),
        (TaskStatus.COMPLETED, False, InboxGroup.FINISHED),
        (TaskStatus.COMPLETED, True, InboxGroup.IDLE),
        (TaskStatus.CANCELLED, False, InboxGroup.IDLE),
        (TaskStatus.MERGED, False, InboxGroup.IDLE),
        (TaskStatus.PUSHED, False, InboxGroup.IDLE),
    ],
)
def test_a_task_is_in_the_group_of_what_it_needs(
    status: TaskStatus, seen: bool, group: InboxGroup
) -> None:
    assert row(view(status), seen=seen).group is group


def test_a_pause_that_ends_at_a_known_time_needs_nobody() -> None:
    waiting = row(paused(PauseReason.CREDITS, AT + 900))
    assert (waiting.group, waiting.until) == (
        InboxGroup.WAITING,
        (NOW + timedelta(seconds=900)).isoformat(),
    )
    for needs in (
        paused(PauseReason.CREDITS),
        paused(PauseReason.REQUESTED),
        paused(PauseReason.AUTH),
        paused(PauseReason.CREDITS, AT + 900, auto_resume=False),
    ):
        assert row(needs).group is InboxGroup.NEEDS_YOU
        assert row(needs).until is None


def test_who_waits_longest_for_a_person_comes_first() -> None:
    older = row(paused(PauseReason.REQUESTED, paused_at=AT - 500))
    newer = row(paused(PauseReason.REQUESTED, paused_at=AT - 5))
    assert older.order < newer.order


def test_what_resumes_soonest_comes_first() -> None:
    sooner, later = (row(paused(PauseReason.CREDITS, AT + n)) for n in (10, 900))
    assert sooner.order < later.order


@pytest.mark.parametrize(
    "status", [TaskStatus.FAILED, TaskStatus.COMPLETED, TaskStatus.IN_PROGRESS, TaskStatus.MERGED]
)
def test_of_the_other_groups_the_newest_comes_first(status: TaskStatus) -> None:
    newer, older = (row(view(status, updated_at=AT - n)) for n in (1, 99))
    assert newer.order < older.order


def test_only_a_task_that_has_ended_has_an_end_to_be_seen() -> None:
    assert row(view(TaskStatus.FAILED)).ended_at == AT
    assert row(view(TaskStatus.IN_PROGRESS)).ended_at is None


def labels(shown: TaskView) -> list[tuple[str, str]]:
    return [(action.tool, action.label) for action in inbox_actions(shown)]


def test_each_task_offers_what_works_with_it() -> None:
    assert labels(view(TaskStatus.NEW)) == [("pause_task", "Pause")]
    assert labels(view(TaskStatus.IN_PROGRESS)) == [("pause_task", "Pause")]
    assert labels(view(TaskStatus.COMPLETED)) == [
        ("merge_task", "Merge"),
        ("iterate_task", "New instructions"),
    ]
    assert labels(view(TaskStatus.MERGED)) == []
    assert labels(paused(PauseReason.REQUESTED)) == [("resume_task", "Resume")]
    assert labels(view(TaskStatus.FAILED)) == [
        ("resume_task", "Resume"),
        ("iterate_task", "New instructions"),
    ]
    merge, iterate = inbox_actions(view(TaskStatus.COMPLETED))
    assert (merge.asks, iterate.asks) == ("preview", "text")


def test_an_answer_says_what_it_would_agree_to() -> None:
    used = run_state(usage=Usage(cost_usd=2.0))
    dear = paused(PauseReason.BUDGET, budget=Budget(usd=2.0), run_state=used)
    assert labels(dear) == [("resume_task", "Resume with a budget of $4.00")]
    look = paused(PauseReason.NEEDS_LOOK)
    assert labels(look)[0] == ("resume_task", "Accept and resume")
    other = view(TaskStatus.MERGED)
    arguments = {"task": "a", "agent": "codex\x1b[2J", "budget_tokens": 5000}
    other.next_actions = [NextAction(tool="resume_task", arguments=arguments, why="")]
    assert labels(other) == [("resume_task", "Resume with codex with a budget of 5,000 tokens")]


def test_texts_of_others_cannot_hide_anything() -> None:
    shown = row(view(TaskStatus.FAILED, title="a\u202eb\x1b[2J\nc" + "x" * 400, error="\u202ebad"))
    assert shown.title.startswith("ab c")
    assert len(shown.title) == 300
    assert shown.says == '"bad"'
