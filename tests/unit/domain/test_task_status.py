"""The table of states, every pair of it (A1, H2, H4)."""

from __future__ import annotations

import runpy
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.task_status import (
    ENDED,
    RESUMABLE,
    RUNNING,
    TRANSITIONS,
    Event,
    IllegalTransition,
    TaskStatus,
    advance,
    as_markdown,
    sources,
)

S = TaskStatus
DOCUMENT = Path(__file__).parents[3] / "docs" / "states.md"

# Written a second time on purpose, by event: a slip in the table does not go unseen.
ALLOWED = {
    Event.START: {S.NEW: S.IN_PROGRESS},
    Event.PAUSE: dict.fromkeys((S.NEW, S.IN_PROGRESS, S.ITERATING), S.PAUSED),
    Event.RESUME: dict.fromkeys((S.PAUSED, S.FAILED, S.CANCELLED), S.IN_PROGRESS),
    Event.RESUME_ITERATION: dict.fromkeys((S.PAUSED, S.FAILED, S.CANCELLED), S.ITERATING),
    Event.RESTART: {S.FAILED: S.IN_PROGRESS},
    Event.COMPLETE: dict.fromkeys((S.IN_PROGRESS, S.ITERATING), S.COMPLETED),
    Event.FAIL: dict.fromkeys((S.NEW, S.IN_PROGRESS, S.ITERATING), S.FAILED),
    Event.CANCEL: dict.fromkeys(
        (S.NEW, S.IN_PROGRESS, S.ITERATING, S.PAUSED, S.FAILED), S.CANCELLED
    ),
    Event.ITERATE: dict.fromkeys((S.COMPLETED, S.FAILED, S.CANCELLED, S.PUSHED), S.ITERATING),
    Event.NEXT_ROUND: dict.fromkeys((S.IN_PROGRESS, S.ITERATING), S.ITERATING),
    Event.MERGE: dict.fromkeys((S.COMPLETED, S.PUSHED), S.MERGED),
    Event.PUSH: dict.fromkeys((S.COMPLETED, S.PUSHED, S.MERGED), S.PUSHED),
}


def test_the_statuses_are_a_closed_set() -> None:
    """A1."""
    names = "NEW IN_PROGRESS ITERATING PAUSED COMPLETED FAILED CANCELLED MERGED PUSHED"
    assert [str(s) for s in TaskStatus] == names.split()
    for other in ("new", "RUNNING", "", "NEW "):
        with pytest.raises(ValueError, match="is not a valid TaskStatus"):
            TaskStatus(other)


@pytest.mark.parametrize(("status", "event"), list(product(TaskStatus, Event)))
def test_every_pair_does_what_the_table_says(status: TaskStatus, event: Event) -> None:
    """A1: a pair that is not in the table is refused with both names."""
    expected = ALLOWED[event].get(status)
    assert (status in sources(event)) == (expected is not None)
    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{status} cannot take {event}") as caught:
            advance(status, event)
        assert isinstance(caught.value, RoverError)
        assert caught.value.code == "illegal_transition"
    else:
        assert advance(status, event) is expected


def test_every_status_can_be_reached_from_new() -> None:
    reached, frontier = {S.NEW}, {S.NEW}
    while frontier:
        frontier = {to for (at, _), to in TRANSITIONS.items() if at in frontier} - reached
        reached |= frontier
    assert reached == set(TaskStatus)


def test_every_status_has_a_way_on() -> None:
    assert {at for at, _ in TRANSITIONS} == set(TaskStatus)


def test_every_status_can_still_reach_completed() -> None:
    """Also a task that was cancelled, since all of its work is kept."""
    can = {S.COMPLETED}
    while more := {at for (at, _), to in TRANSITIONS.items() if to in can} - can:
        can |= more
    assert can == set(TaskStatus)


def test_the_groups_are_disjoint_and_cover_everything_that_has_begun() -> None:
    assert not RUNNING & ENDED
    assert RUNNING | ENDED | {S.NEW, S.PAUSED} == set(TaskStatus)
    assert sources(Event.RESUME) == sources(Event.RESUME_ITERATION) == RESUMABLE


def test_iterate_and_restart_are_not_possible_while_paused() -> None:
    """H4: only resume_task or cancel_task lead on from a pause."""
    on = {event for at, event in TRANSITIONS if at is S.PAUSED}
    assert on == {Event.RESUME, Event.RESUME_ITERATION, Event.CANCEL}
    for event in set(Event) - on:
        with pytest.raises(IllegalTransition) as refused:
            advance(S.PAUSED, event)
        assert "resume_task" in str(refused.value.hint)


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_no_history_loses_a_pause_without_resume_or_cancel(events: list[Event]) -> None:
    """H2, H4: events that are refused change nothing."""
    status = S.NEW
    for event in events:
        before = status
        try:
            status = advance(status, event)
        except IllegalTransition:
            continue
        if before is S.PAUSED:
            assert event in (Event.RESUME, Event.RESUME_ITERATION, Event.CANCEL)
        if status in RUNNING and event is not Event.NEXT_ROUND:
            assert before in (S.NEW, S.PAUSED, S.FAILED, S.CANCELLED, S.COMPLETED, S.PUSHED)


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_after_any_history_a_task_has_a_way_to_completed(
    events: list[Event],
) -> None:
    """C9, H4: no reachable status is a dead end, and no event takes the way to resume away from
    a task that has stopped."""
    status = S.NEW
    for event in events:
        status = TRANSITIONS.get((status, event), status)
    possible = {event for at, event in TRANSITIONS if at is status}
    assert possible
    if status in RESUMABLE:
        assert {Event.RESUME, Event.RESUME_ITERATION} <= possible
    reached, frontier = {status}, {status}
    while frontier:
        frontier = {to for (at, _), to in TRANSITIONS.items() if at in frontier} - reached
        reached |= frontier
    assert reached & {S.COMPLETED, S.MERGED, S.PUSHED}


def test_the_page_of_states_is_the_one_that_the_table_gives() -> None:
    """To update: python -m rover_mcp.domain.task_status > docs/states.md"""
    assert DOCUMENT.read_text("utf-8") == as_markdown()


def test_the_module_prints_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "rover_mcp.domain.task_status")
    runpy.run_module("rover_mcp.domain.task_status", run_name="__main__")
    assert capsys.readouterr().out == as_markdown()
