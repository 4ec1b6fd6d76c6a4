"""Rebasing a task: shown first, recorded before and after, and never over a change meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent_runner.spec import Instructions
from rover_mcp.domain.conflicted_file import ConflictedFile, ConflictRegion, SideCommit
from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.domain.event_kinds import REBASE
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.operation import OperationKind
from rover_mcp.domain.task_status import Event
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.operation_log import NotSettled, OperationLog
from rover_mcp.tasks.rebase import RebaseTask
from tests.support.desk import ServerHarness
from tests.support.fake_rebases import NEW, NOTE, OLD, ONTO, PLAN, FakeRebases
from tests.support.samples import new_task

ME = Caller("client", Path("/repo"))
AGAIN = IterationInput(instructions=Instructions(text="More"))


@dataclass
class RebaseHarness:
    """A completed task, and the repository in which its branch is rebased."""

    desk: ServerHarness
    task: TaskRow
    rebases: FakeRebases
    log: OperationLog
    rebase: RebaseTask

    def row(self) -> TaskRow:
        row = self.desk.store.tasks.get(self.task.id)
        assert row is not None
        return row

    def states(self) -> list[str]:
        return [row.state for row in self.log.rows.of_task(self.task.id)]

    def iterate(self) -> bool:
        task = self.row()
        begun = self.desk.store.transitions.iterate(task.id, task.attempt, None, AGAIN)
        return begun is not None


@pytest.fixture
def stage(desk: ServerHarness) -> RebaseHarness:
    desk.store.projects.register("p1", "/repo")
    row, _ = desk.store.tasks.create(new_task(project_id="p1"), frozenset())
    for event in (Event.START, Event.COMPLETE):
        row = desk.store.transitions.apply(row.id, event) or row
    rebases, log = FakeRebases(), OperationLog(desk.store.operations("roverd"))
    return RebaseHarness(desk, row, rebases, log, RebaseTask(desk.store, rebases, log))


def test_a_preview_says_what_would_happen_and_changes_nothing(stage: RebaseHarness) -> None:
    """N2."""
    shown = stage.rebase.preview(ME, stage.task, None)
    assert shown.commit is None
    assert "2 commits would be replayed on main at 1111111111" in shown.text
    assert (stage.rebases.kept, stage.rebases.moves, stage.states()) == ([False], [], [])


def test_a_rebase_is_recorded_and_the_status_stays(stage: RebaseHarness) -> None:
    """N2, N8."""
    done = stage.rebase(ME, stage.task, None)
    (move,) = stage.rebases.moves
    assert (done.commit, move["branch"], move["old"], move["new"]) == (NEW, PLAN.branch, OLD, NEW)
    after = stage.row()
    assert (after.status, after.onto, after.stands_on) == ("COMPLETED", ONTO, ONTO)
    assert after.base_commit == stage.task.base_commit
    assert after.run_state is not None
    assert after.run_state.snapshot == NOTE.snapshot
    assert (stage.states(), stage.rebases.records) == (["done"], [NOTE])
    event = stage.desk.store.events.last_of(stage.task.id, REBASE)
    assert event is not None
    assert event.data["onto"] == ONTO
    assert OLD[:10] in done.text


def test_a_move_that_fails_leaves_the_task_as_it_was(stage: RebaseHarness) -> None:
    stage.rebases.refusal = Conflict("moved meanwhile", code="branch_moved")
    with pytest.raises(Conflict, match="moved meanwhile"):
        stage.rebase(ME, stage.task, None)
    assert (stage.row().onto, stage.states()) == (None, ["undone"])
    assert stage.rebases.discarded == [NOTE]


def test_a_record_that_cannot_be_written_is_completed_by_the_next_call(
    stage: RebaseHarness,
) -> None:
    """N8."""
    stage.rebases.unwritable = EnvironmentFault("no space left", code="disk_full")
    with pytest.raises(NotSettled, match="is rebased"):
        stage.rebase(ME, stage.task, None)
    assert stage.states() == ["open"]
    assert not stage.iterate(), "an iteration would begin on the old branch"
    stage.rebases.unwritable = None
    stage.rebase.preview(ME, stage.task, None)
    assert (stage.states(), stage.row().onto) == (["done"], ONTO)
    assert stage.iterate()


@pytest.mark.parametrize(("moved", "state"), [(True, "done"), (False, "undone")])
def test_what_was_cut_off_is_finished_or_undone(
    stage: RebaseHarness, moved: bool, state: str
) -> None:
    """N8."""
    plan = {"note": NOTE.model_dump(mode="json"), "commits": 2}
    stage.log.rows.begin(stage.task.id, OperationKind.REBASE, plan)
    stage.rebases.moved = moved
    stage.log.settle()
    assert (stage.states(), stage.row().onto) == ([state], ONTO if moved else None)
    assert stage.rebases.discarded == ([] if moved else [NOTE])


def test_an_iteration_that_begins_first_stops_the_rebase(stage: RebaseHarness) -> None:
    plan = stage.rebases.plan

    def planned(task: TaskRow, onto: str | None, *, keep: bool) -> object:
        assert stage.iterate()
        return plan(task, onto, keep=keep)

    stage.rebases.plan = planned  # type: ignore[method-assign, assignment]
    with pytest.raises(Conflict, match="running again"):
        stage.rebase(ME, stage.task, None)
    assert (stage.rebases.moves, stage.states()) == ([], ["undone"])


def test_conflicts_are_kept_and_named_and_nothing_is_done(stage: RebaseHarness) -> None:
    """N2."""
    region = ConflictRegion(line=3, onto="a\n", base="b\n", branch="c\n")
    change = SideCommit(commit="5" * 40, author="Ada", subject="Rename\x1b[31m it")
    files = (
        ConflictedFile(
            path="b\x1b[31m", kind="contents", regions=(region,), onto_commits=(change,)
        ),
        ConflictedFile(path="uv.lock", kind="lock file", advice="run `uv lock`"),
    )
    stage.rebases.planned = replace(PLAN, conflicts=files, stopped="5" * 40)
    with pytest.raises(Conflict, match=r"1 place.*changed by 5555555555 Rename it") as refused:
        stage.rebase(ME, stage.task, None)
    assert refused.value.code == "rebase_conflicts"
    assert "\x1b" not in refused.value.message
    assert "uv.lock (lock file: run `uv lock`)" in refused.value.message
    assert "that stops" in stage.rebase.preview(ME, stage.task, None).text
    assert (stage.rebases.moves, stage.states()) == ([], [])
    assert [plan.conflicts for plan in stage.rebases.conflicts] == [files]


def test_a_branch_that_has_all_of_its_base_is_left_alone(stage: RebaseHarness) -> None:
    stage.rebases.planned = replace(PLAN, contained=True, tree="")
    assert "nothing to rebase" in stage.rebase(ME, stage.task, None).text
    assert (stage.rebases.moves, stage.states()) == ([], [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dropped": 1}, "1 of them would be left out: main has them"),
        ({"beyond": 3}, "3 of these commits are not the task's"),
        ({"collapsed": True}, "would become one commit, as it has merges"),
        ({"collapsed": True, "stopped": "5" * 40}, "as its commits conflict one by one"),
        ({"work_tree": "/repo"}, "The files in /repo are updated"),
    ],
)
def test_the_preview_names_what_a_person_should_know(
    stage: RebaseHarness, change: dict[str, object], words: str
) -> None:
    stage.rebases.planned = replace(PLAN, **change)
    assert words in stage.rebase.preview(ME, stage.task, None).text


def test_a_task_that_has_not_ended_well_cannot_be_rebased(stage: RebaseHarness) -> None:
    assert stage.iterate()
    with pytest.raises(Conflict, match="ITERATING"):
        stage.rebase.preview(ME, stage.task, None)


def test_users_over_http_cannot_rebase(stage: RebaseHarness) -> None:
    with pytest.raises(UserFixable, match="only the user of this machine"):
        stage.rebase(replace(ME, user="u"), stage.task, None)
