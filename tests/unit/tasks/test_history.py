"""Looking back at a task's snapshots, and starting again from one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.journal.record_lines import RecordType as T
from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import Event
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.history import checkpoint_at, find_snapshot, snapshots_of
from tests.support.desk import ServerHarness
from tests.support.journals import RUN, STEPS, done, lines_of
from tests.support.journals import snapshot as as_recorded
from tests.support.samples import COMMIT, run_state, task_row
from tests.unit.tasks.test_iterate import ended
from tests.unit.tasks.test_service import row

AGAIN = [
    (T.RUN_START, {"attempt": 2, "workflow": "w", "steps": STEPS}),
    (T.STEP_START, {"step": "plan", "start_snapshot": as_recorded(4)}),
    (T.AGENT_SESSION, {"step": "plan", "session": {"agent": "claude", "session_id": "s-2"}}),
    done("plan", 5, plan="another"),
    (T.WORKFLOW_FAIL, {"error": "no", "snapshot": as_recorded(5)}),
]


def with_journals(home: Path, task: TaskRow) -> TaskRow:
    """Two iterations: three snapshots in the first, the last at a pause, and two in the second."""
    pause = {"reason": "credits", "message": "none", "since": "2026-11-23T10:00:00Z"}
    first = [*RUN, (T.WORKFLOW_PAUSE, {"pause": pause, "snapshot": as_recorded(3)})]
    for iteration, run in enumerate((first, AGAIN), 1):
        journal = TaskFolders(home, task.id, iteration).journal
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.write_bytes(b"".join(lines_of(run)))
    return task


def test_snapshots_of_all_iterations_are_listed_once(
    tmp_path: Path,
) -> None:
    """N14."""
    entries = snapshots_of(tmp_path, with_journals(tmp_path, task_row(iteration=2)))
    assert [(e.name, e.iteration, e.step, e.when) for e in entries] == [
        ("s1", 1, "plan", "after plan"),
        ("s2", 1, "do", "after do"),
        ("s3", 1, None, "at a pause"),
        ("s4", 2, "plan", "before the first step"),
        ("s5", 2, "plan", "after plan"),
    ]
    assert entries[0].at < entries[1].at
    assert entries[1].place == "after do, iteration 1"


def test_a_damaged_journal_gives_what_was_before_the_damage(tmp_path: Path) -> None:
    task = with_journals(tmp_path, task_row(iteration=2))
    journal = TaskFolders(tmp_path, task.id, 1).journal
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:6], b"nonsense\n", *lines[7:]]))
    assert [e.name for e in snapshots_of(tmp_path, task)] == ["s1", "s4", "s5"]


def test_a_snapshot_is_found_by_its_name_or_its_commit(tmp_path: Path) -> None:
    entries = snapshots_of(tmp_path, with_journals(tmp_path, task_row(iteration=2)))
    assert find_snapshot(entries, " S4").name == "s4"
    assert find_snapshot(entries, "4").name == "s4"
    assert find_snapshot(entries, f"{4:040}").name == "s4"
    for unknown in ("s9", "0000000", "", "after plan"):
        with pytest.raises(NotFound, match=r"there are: s1, s2, s3, s4, s5") as raised:
            find_snapshot(entries, unknown)
        assert raised.value.code == "unknown_snapshot"


def test_what_was_known_at_a_snapshot_is_without_what_came_later(tmp_path: Path) -> None:
    task = with_journals(tmp_path, task_row(iteration=2))
    entries = snapshots_of(tmp_path, task)
    first, last = (checkpoint_at(tmp_path, task, entry) for entry in (entries[0], entries[-1]))
    assert {name: s.session_id for name, s in first.sessions.items()} == {"plan": "s-1"}
    assert [step.id for step in first.state.steps if step.finished] == ["plan"]
    assert last.sessions["plan"].session_id == "s-2"


def test_the_list_says_what_each_snapshot_changed(desk: ServerHarness) -> None:
    """N14."""
    task = with_journals(desk.home, ended(desk))
    history = desk.tasks.history(task)
    assert [(s.id, s.files, s.added) for s in history.snapshots] == [
        ("s1", 1, 1), ("s2", 1, 1), ("s3", 1, 1),
    ]  # fmt: skip
    assert (history.more, history.diff) == (0, None)
    desk.work.fault = EnvironmentFault("the hub is gone")
    assert [s.files for s in desk.tasks.history(task).snapshots] == [None] * 3


def test_a_single_snapshot_is_shown_against_the_one_before(desk: ServerHarness) -> None:
    """N14."""
    task = with_journals(desk.home, ended(desk))
    second, first = (desk.tasks.history(task, name) for name in ("s2", "s1"))
    assert second.diff is not None
    assert second.diff.patch == desk.work.patch
    assert first.snapshots[0].id == "s1"
    assert desk.work.compared == [(f"{1:040}", f"{2:040}"), (COMMIT, f"{1:040}")]


def test_an_iteration_from_a_snapshot_has_its_conversations(
    desk: ServerHarness,
) -> None:
    """N14: the branch stays where it is, so that what came later is not lost."""
    task = with_journals(desk.home, ended(desk))
    desk.tasks.iterate(desk.caller, task, "Another way", (), "s1")
    given = row(desk, task).iteration_input
    assert given is not None
    assert given.begin is not None
    assert task.run_state is not None
    assert task.run_state.snapshot is not None
    assert (given.begin.commit, given.begin.head) == (f"{1:040}", task.run_state.snapshot.head)
    assert {name: s.session_id for name, s in given.sessions.items()} == {"plan": "s-1"}
    assert given.instructions.rewound == "after plan, iteration 1"
    assert desk.work.compared == [(COMMIT, f"{1:040}")]
    assert desk.store.events.last(task.id)[-1].data["snapshot"] == "s1"


def test_an_unknown_snapshot_begins_nothing(desk: ServerHarness) -> None:
    task = with_journals(desk.home, ended(desk))
    with pytest.raises(NotFound):
        desk.tasks.iterate(desk.caller, task, "Another way", (), "s7")
    assert row(desk, task).iteration == 1


def test_an_iteration_without_work_leaves_the_start_of_the_next(desk: ServerHarness) -> None:
    task = with_journals(desk.home, ended(desk))
    desk.tasks.iterate(desk.caller, task, "Another way", (), "s1")
    begin = row(desk, task).iteration_input
    assert begin is not None
    failed = desk.store.transitions.apply(task.id, Event.FAIL, run_state=begin.start())
    assert failed is not None
    desk.tasks.iterate(desk.caller, failed, "Try again")
    again = row(desk, task).iteration_input
    assert again is not None
    assert again.begin == begin.begin
    done = desk.store.transitions.apply(task.id, Event.COMPLETE, run_state=run_state())
    assert done is not None
    desk.tasks.iterate(desk.caller, done, "And more")
    last = row(desk, task).iteration_input
    assert last is not None
    assert last.begin is None
