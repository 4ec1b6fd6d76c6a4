"""The spans of a task and the keys of its questions: an end is final, no key comes twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import EventRow
from rover_mcp.tasks.handle_spans import ANSWERED, handle, handle_spans, parse_handle, question
from tests.support.samples import TASK, event_row, task_row


def log(*events: tuple[str, str], **data: str) -> list[EventRow]:
    """Events in a row, a second apart, numbered from 1."""
    return [
        replace(event_row(kind, status, **data), seq=seq, at=float(seq))
        for seq, (kind, status) in enumerate(events, 1)
    ]


FAILED = ("task.failed", "FAILED")
RESUMED = ("task.resumed", "IN_PROGRESS")
PAUSED = ("task.paused", "PAUSED")


def test_a_task_that_never_ended_has_one_life() -> None:
    (only,) = handle_spans(task_row(), log(PAUSED, RESUMED))
    assert (only.number, only.began_at, only.end) == (0, task_row().created_at, None)


@pytest.mark.parametrize("status", [s for s in TaskStatus if s in ("FAILED", "COMPLETED")])
def test_an_end_that_stands_is_the_present_life(status: TaskStatus) -> None:
    (only,) = handle_spans(task_row(status=status), log((f"task.{status.lower()}", status)))
    assert only.end is None


def test_a_task_that_continues_after_its_end_gets_a_new_span() -> None:
    old, new = handle_spans(task_row(), log(FAILED, RESUMED))
    assert (old.number, old.end and old.end.kind) == (0, "task.failed")
    assert (new.number, new.began_at, new.end) == (1, 2.0, None)


def test_a_failed_resume_is_a_span_of_its_own() -> None:
    marks = log(FAILED, RESUMED, ("task.resume_failed", "FAILED"))
    assert [x.number for x in handle_spans(task_row(status=TaskStatus.FAILED), marks)] == [0, 1]


def test_a_cancellation_that_was_sent_twice_ends_one_span() -> None:
    marks = log(("task.left", "PAUSED"), ("task.left", "PAUSED"), RESUMED)
    same = [replace(m, data={"span": 0}) if m.kind == "task.left" else m for m in marks]
    assert [x.number for x in handle_spans(task_row(), same)] == [0, 1]
    second = [same[0], replace(same[1], data={"span": 1}), same[2]]
    assert [x.number for x in handle_spans(task_row(), second)] == [0, 1, 2]


def test_merging_does_not_end_it_again() -> None:
    marks = log(("task.completed", "COMPLETED"))
    assert len(handle_spans(task_row(status=TaskStatus.MERGED), marks)) == 1


def test_each_pause_asks_under_a_key_of_its_own() -> None:
    marks = log(PAUSED, RESUMED, PAUSED)
    assert (question(marks[:1]), question(marks)) == ("pause-1", "pause-3")


def test_a_resume_that_failed_asks_anew() -> None:
    assert question(log(PAUSED, RESUMED, ("task.resume_failed", "PAUSED"))) == "pause-3"


def test_an_answered_question_is_not_asked_again() -> None:
    marks = log(PAUSED, (ANSWERED, "PAUSED"), key="pause-1")
    assert question(marks) is None
    assert question([*marks, replace(log(PAUSED)[0], seq=9)]) == "pause-9"


def test_without_a_pause_there_is_no_question() -> None:
    assert question(log(RESUMED)) is None


@pytest.mark.parametrize("span", [0, 1, 12])
def test_a_handle_names_a_task_and_a_life(span: int) -> None:
    assert parse_handle(handle(TASK, span)) == (TASK, span)


@pytest.mark.parametrize("text", ["", "1", f"{TASK}.0", f"{TASK}.01", f"{TASK}.x", f"{TASK}\n"])
def test_anything_else_is_no_handle(text: str) -> None:
    assert parse_handle(text) is None
