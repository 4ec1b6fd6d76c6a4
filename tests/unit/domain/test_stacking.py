"""When a task may start that comes after others."""

from __future__ import annotations

import pytest

from rover_mcp.domain.stacking import find_cycle, is_satisfied, stuck, waits_for
from rover_mcp.domain.task_links import AwaitedTask, ForkedFrom, TaskLinks
from rover_mcp.domain.task_status import TaskStatus as S

ONE, TWO, THREE = (AwaitedTask(task=name, number=n) for n, name in enumerate("abc", 1))
BOTH = TaskLinks(after=(ONE, TWO), base=TWO)


@pytest.mark.parametrize("status", list(S))
def test_only_work_that_is_done_satisfies(status: S) -> None:
    """N16: a failed or cancelled task never does."""
    done = status in (S.COMPLETED, S.MERGED, S.PUSHED)
    assert is_satisfied(BOTH, {"a": S.COMPLETED, "b": status}) is done


def test_a_deleted_task_never_satisfies() -> None:
    assert not is_satisfied(BOTH, {"a": S.COMPLETED})
    [warning] = stuck(BOTH, {"a": S.COMPLETED})
    assert "task 2" in warning
    assert "cancel_task" in warning


@pytest.mark.parametrize("status", [S.FAILED, S.CANCELLED])
def test_it_says_what_to_do_where_nothing_will_happen(status: S) -> None:
    """N16."""
    [warning] = stuck(BOTH, {"a": S.COMPLETED, "b": status})
    assert f"task 2, which this one waits for, is {status}" in warning
    assert "resume_task or iterate_task" in warning
    assert stuck(BOTH, {"a": S.IN_PROGRESS, "b": S.PAUSED}) == []


def test_the_phase_names_what_is_left() -> None:
    assert waits_for(BOTH, {"a": S.COMPLETED, "b": S.PAUSED}) == "waits for task 2 (PAUSED)"
    assert waits_for(BOTH, {"a": S.NEW}) == "waits for task 1 (NEW), task 2 (deleted)"


def test_a_cycle_is_shown_as_its_path() -> None:
    """N16."""
    after = {"a": [TWO], "b": [THREE], "c": [TWO]}
    assert find_cycle([ONE], lambda task: after[task]) == [2, 3, 2]
    assert find_cycle([ONE], lambda task: [ONE]) == [1, 1]
    straight = {"a": [TWO, THREE], "b": [THREE], "c": []}
    assert find_cycle([ONE, TWO], lambda task: straight[task]) == []


def test_the_relations_are_told_in_words() -> None:
    origin = ForkedFrom(task="a", number=1, snapshot="s4")
    assert TaskLinks(forked_from=origin).words() == "forked from task 1 at s4"
    assert BOTH.words() == "starts from the result of task 2; comes after task 1"
    assert TaskLinks().words() is None
