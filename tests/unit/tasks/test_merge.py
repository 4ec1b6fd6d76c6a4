"""Merging a task: shown first, never over a refusal, recorded before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.domain.operation import OperationKind
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.git.branch_trash import BranchFacts
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.merge import (
    COMMIT_HOOKS,
    MergePlan,
    MergeRequest,
    MergeTask,
    commit_message,
)
from rover_mcp.tasks.operation_log import NotSettled, OperationLog, check_hand_off
from tests.support.desk import FakeBranches, ServerHarness
from tests.support.fake_merges import NEW, OLD, PLAN, SOURCE, FakeMerges
from tests.support.samples import new_task, task_row

ME = Caller("client", Path("/repo"))
ASK = MergeRequest()


@dataclass
class MergeHarness:
    """A completed task, and the repository that it is merged into."""

    desk: ServerHarness
    task: TaskRow
    merges: FakeMerges
    log: OperationLog
    merge: MergeTask

    def status(self) -> TaskStatus | None:
        row = self.desk.store.tasks.get(self.task.id)
        return row.status if row else None

    def states(self) -> list[str]:
        return [row.state for row in self.log.rows.of_task(self.task.id)]


@pytest.fixture
def stage(desk: ServerHarness) -> MergeHarness:
    desk.store.projects.register("p1", "/repo")
    row, _ = desk.store.tasks.create(new_task(project_id="p1"), frozenset())
    for event in (Event.START, Event.COMPLETE):
        row = desk.store.transitions.apply(row.id, event) or row
    merges, log = FakeMerges(), OperationLog(desk.store.operations("roverd"))
    return MergeHarness(desk, row, merges, log, MergeTask(desk.store, merges, log, FakeBranches()))


def test_a_preview_says_what_would_happen_and_changes_nothing(stage: MergeHarness) -> None:
    """N3."""
    shown = stage.merge.preview(ME, stage.task, ASK)
    assert shown.commit is None
    assert "rover/1-fix (2 commits) would go into main" in shown.text
    assert "1 file changed" in shown.text
    assert (stage.merges.moves, stage.states(), stage.status()) == ([], [], "COMPLETED")


def test_a_merge_is_recorded_and_the_task_is_merged(stage: MergeHarness) -> None:
    """N3, N8."""
    done = stage.merge(ME, stage.task, ASK)
    assert done.commit == NEW
    (move,) = stage.merges.moves
    assert (move["branch"], move["old"], move["new"]) == ("main", OLD, NEW)
    assert (stage.states(), stage.status()) == (["done"], "MERGED")
    event = stage.desk.store.events.last_of(stage.task.id, Event.MERGE)
    assert event is not None
    assert event.data == {"into": "main", "commit": NEW, "mode": "merge"}
    assert f"reset --keep {OLD[:10]}" in done.text


def test_a_fast_forward_makes_no_commit(stage: MergeHarness) -> None:
    assert stage.merge(ME, stage.task, MergeRequest(mode="ff")).commit == SOURCE
    assert stage.merges.messages == []


def test_a_fast_forward_that_is_not_possible_is_refused(stage: MergeHarness) -> None:
    stage.merges.found = replace(PLAN, forward=False)
    with pytest.raises(Conflict, match="fast-forward"):
        stage.merge(ME, stage.task, MergeRequest(mode="ff"))
    assert stage.merges.moves == []


def test_conflicts_are_named_with_what_to_do_and_nothing_changes(stage: MergeHarness) -> None:
    """N3."""
    stage.merges.found = replace(PLAN, tree=None, conflicts=("a.py", "b\x1b[2J.py"))
    with pytest.raises(Conflict, match=r"a\.py, ") as refused:
        stage.merge(ME, stage.task, ASK)
    assert refused.value.code == "merge_conflicts"
    assert "git merge main" in (refused.value.hint or "")
    assert "\x1b" not in refused.value.message
    assert (stage.merges.moves, stage.states(), stage.status()) == ([], [], "COMPLETED")
    assert "a.py" in stage.merge.preview(ME, stage.task, ASK).text


def test_a_refused_move_leaves_the_task_as_it_was(stage: MergeHarness) -> None:
    """N8."""
    stage.merges.refusal = Conflict("dirty", code="dirty_work_tree")
    with pytest.raises(Conflict, match="dirty"):
        stage.merge(ME, stage.task, ASK)
    assert (stage.states(), stage.status()) == (["undone"], "COMPLETED")
    stage.merges.refusal = None
    stage.merge(ME, stage.task, ASK)
    assert (stage.states(), stage.status()) == (["undone", "done"], "MERGED")


@pytest.mark.parametrize("event", [Event.PAUSE, Event.FAIL, Event.CANCEL, None])
def test_only_a_completed_task_can_be_merged(desk: ServerHarness, event: Event | None) -> None:
    """N3."""
    desk.store.projects.register("p1", "/repo")
    row, _ = desk.store.tasks.create(new_task(project_id="p1"), frozenset())
    row = desk.store.transitions.apply(row.id, Event.START) or row
    row = desk.store.transitions.apply(row.id, event) or row if event else row
    merge = MergeTask(desk.store, FakeMerges(), desk.log(), FakeBranches())
    with pytest.raises(Conflict, match="only one that is COMPLETED"):
        merge.preview(ME, row, ASK)


def test_a_user_over_http_is_refused(stage: MergeHarness) -> None:
    with pytest.raises(UserFixable, match="only the user of this machine"):
        stage.merge(replace(ME, user="guest"), stage.task, ASK)
    assert stage.merges.moves == []


HANDED = replace(PLAN, files=("calc.py", ".vscode/tasks.json", ".envrc"))


def test_hand_off_files_have_to_be_named(stage: MergeHarness) -> None:
    """N11."""
    stage.merges.found = HANDED
    shown = stage.merge.preview(ME, stage.task, ASK).text
    assert ".vscode/tasks.json (run by VS Code); .envrc (run by direnv)" in shown
    for accept in ((), (".envrc",), (".vscode/tasks",), (".vscode",)):
        with pytest.raises(UserFixable, match=r"\.vscode/tasks\.json") as refused:
            stage.merge(ME, stage.task, MergeRequest(accept=accept))
        assert refused.value.code == "hand_off_files"
    stage.merge(ME, stage.task, MergeRequest(accept=(".vscode/", ".envrc")))
    assert stage.status() == "MERGED"


def test_a_person_who_was_shown_them_has_agreed(stage: MergeHarness) -> None:
    """N11."""
    stage.merges.found = replace(HANDED, hooks=("commit-msg",))
    question = stage.merge.question(ME, stage.task, ASK)
    assert ".envrc (run by direnv)" in question
    assert "commit-msg" in question
    stage.merge(ME, stage.task, ASK, agreed=True)
    assert stage.status() == "MERGED"


def test_more_hand_off_files_than_a_question_shows_have_to_be_named(stage: MergeHarness) -> None:
    names = tuple(f"{n}/Makefile" for n in range(30))
    stage.merges.found = replace(PLAN, files=names)
    with pytest.raises(UserFixable, match="and 10 more"):
        stage.merge(ME, stage.task, ASK, agreed=True)


def test_hooks_that_are_not_run_have_to_be_named(stage: MergeHarness) -> None:
    stage.merges.found = replace(PLAN, hooks=("commit-msg",))
    with pytest.raises(UserFixable, match="commit-msg") as refused:
        stage.merge(ME, stage.task, ASK)
    assert refused.value.code == "hooks"
    stage.merge(ME, stage.task, MergeRequest(accept=("commit-msg",)))
    assert stage.status() == "MERGED"


def test_a_fast_forward_concerns_no_hook() -> None:
    assert COMMIT_HOOKS["ff"] == ()


def test_what_is_merged_already_is_only_recorded(stage: MergeHarness) -> None:
    stage.merges.found = replace(PLAN, contained=True, changed=0, files=())
    assert "already" in stage.merge.preview(ME, stage.task, ASK).text
    assert stage.merge(ME, stage.task, ASK).commit == OLD
    assert (stage.merges.moves, stage.status()) == ([], "MERGED")


def test_a_squash_that_would_be_empty_is_not_repeated(stage: MergeHarness) -> None:
    stage.merge(ME, stage.task, MergeRequest(mode="squash"))
    stage.merges.found = replace(PLAN, changed=0, files=())
    stage.merge(ME, stage.task, MergeRequest(mode="squash"))
    assert len(stage.merges.moves) == 1


@pytest.mark.parametrize(
    ("moved", "state", "status"), [(True, "done", "MERGED"), (False, "undone", "COMPLETED")]
)
def test_a_merge_that_was_cut_off_is_finished_or_undone(
    stage: MergeHarness, moved: bool, state: str, status: str
) -> None:
    """N8."""
    plan = {"branch": "main", "new": NEW, "mode": "merge"}
    stage.log.rows.begin(stage.task.id, OperationKind.MERGE, plan)
    stage.merges.moved = moved
    stage.log.settle()
    assert (stage.states(), stage.status()) == ([state], status)
    stage.log.settle()
    assert stage.states() == [state]


def test_what_cannot_be_settled_now_is_settled_by_the_next_call(stage: MergeHarness) -> None:
    """N8."""
    stage.log.rows.begin(stage.task.id, OperationKind.MERGE, {"branch": "main"})
    stage.merges.refusal = NotSettled("the disk is gone")
    stage.log.settle()
    assert stage.states() == ["open"]
    stage.merges.refusal, stage.merges.moved = None, False
    stage.merge.preview(ME, stage.task, ASK)
    assert stage.states() == ["undone"]


def test_a_task_has_one_operation_at_a_time(stage: MergeHarness) -> None:
    with pytest.raises(Conflict, match="at work"):
        stage.log.run(
            stage.task.id, OperationKind.MERGE, {},
            lambda _: stage.log.run(stage.task.id, OperationKind.PUSH, {}, lambda _: None),
        )  # fmt: skip
    assert stage.states() == ["undone"]


def test_an_operation_that_runs_is_not_settled(stage: MergeHarness) -> None:
    stage.log.run(stage.task.id, OperationKind.MERGE, {}, lambda _: stage.log.settle())
    assert stage.states() == ["done"]


def test_a_fault_of_git_leaves_the_task_as_it_was(stage: MergeHarness) -> None:
    stage.merges.refusal = EnvironmentFault("the disk is full", code="disk_full")
    with pytest.raises(EnvironmentFault):
        stage.merge(ME, stage.task, ASK)
    assert (stage.states(), stage.status()) == (["undone"], "COMPLETED")


LONG = "Make the parser of the settings say which of them it does not know, in which file and line"


@pytest.mark.parametrize(
    ("request_", "plan", "subject"),
    [
        (ASK, PLAN, "Merge branch 'rover/1-fix'"),
        (ASK, replace(PLAN, into="next"), "Merge branch 'rover/1-fix' into next"),
        (MergeRequest(mode="squash"), PLAN, "Make the parser of the settings say which of them"),
        (MergeRequest(message="parser: name what is unknown\n\nWhy.\n"), PLAN, "parser: name what"),
    ],
)
def test_a_commits_message_is_of_good_form(
    request_: MergeRequest, plan: MergePlan, subject: str
) -> None:
    text = commit_message(replace(task_row(), title=LONG), plan, request_)
    first, second, *_ = text.splitlines()
    assert first.startswith(subject)
    assert len(first) <= 72
    assert second == ""
    assert text.endswith(f"\n\nRover-Task: {task_row().id}\nRover-Number: {task_row().number}\n")
    assert all(len(line) <= 72 for line in text.splitlines())


def test_a_title_cannot_forge_a_trailer() -> None:
    title = "Fix\n\nSigned-off-by: Linus <l@example.org>"
    text = commit_message(replace(task_row(), title=title), PLAN, MergeRequest(mode="squash"))
    assert "\nSigned-off-by" not in text


def test_a_folder_that_is_accepted_covers_no_neighbour() -> None:
    with pytest.raises(UserFixable):
        check_hand_off([(".vscode2/x", "VS Code")], [".vscode/"], "accept")


SECRET = SecretMatch("GitHub token", "plain", "config.py", 3, None)


def test_secrets_that_enter_the_branch_are_warned_of_before_and_after(stage: MergeHarness) -> None:
    """N12: without the secret itself."""
    stage.merges.found = replace(PLAN, secrets=(SECRET,))
    for done in (
        stage.merge.preview(ME, stage.task, ASK),
        stage.merge(ME, stage.task, ASK),
    ):
        assert "WARNING: secrets enter main: GitHub token in config.py, line 3." in done.text
    assert stage.status() is TaskStatus.MERGED


def test_what_cannot_be_searched_for_secrets_is_said(stage: MergeHarness) -> None:
    """N12"""
    stage.merges.found = replace(PLAN, secrets=None)
    done = stage.merge.preview(ME, stage.task, ASK)
    assert "What enters could not be searched for secrets." in done.text


DELETE = MergeRequest(delete_branch=True)


@dataclass
class OneBranch(FakeBranches):
    """The task's branch. `refusal` is raised in place of its deletion."""

    work_tree: Path | None = None
    refusal: Exception | None = None
    deleted_at: str | None = None

    def facts(self, task: TaskRow) -> BranchFacts:
        return BranchFacts(SOURCE, work_tree=self.work_tree)

    def put_aside(self, task: TaskRow, tip: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.deleted_at = tip


def test_a_merged_branch_is_deleted_where_that_is_asked_for(stage: MergeHarness) -> None:
    """N3: and kept aside, at the commit that was merged."""
    branches = stage.merge.branches = OneBranch()
    shown = stage.merge.preview(ME, stage.task, DELETE)
    assert shown.text.endswith("Then the branch rover/1-fix is deleted.")
    assert branches.deleted_at is None
    done = stage.merge(ME, stage.task, DELETE)
    assert branches.deleted_at == SOURCE
    assert f"branch {stage.task.branch} {SOURCE[:10]}` restores it. To take" in done.text
    assert stage.states() == ["done"]


def test_a_branch_that_is_checked_out_stops_the_merge(stage: MergeHarness) -> None:
    """N3: said before anything is merged."""
    stage.merge.branches = OneBranch(work_tree=Path("/look"))
    with pytest.raises(Conflict, match=r"checked out in /look.*nothing was merged"):
        stage.merge(ME, stage.task, DELETE)
    assert (stage.merges.moves, stage.status()) == ([], "COMPLETED")


def test_a_branch_that_cannot_be_deleted_leaves_the_merge_done(stage: MergeHarness) -> None:
    """N8."""
    stage.merge.branches = OneBranch(refusal=Conflict("it has moved", code="branch_moved"))
    done = stage.merge(ME, stage.task, DELETE)
    assert "stays: it has moved" in done.text
    assert (stage.states(), stage.status()) == (["done"], "MERGED")


def test_a_merge_that_was_cut_off_deletes_the_branch_when_it_is_finished(
    stage: MergeHarness,
) -> None:
    """N8."""
    branches = stage.merge.branches = OneBranch()
    move = {"branch": "main", "new": NEW, "mode": "merge", "delete": SOURCE}
    stage.log.rows.begin(stage.task.id, OperationKind.MERGE, move)
    stage.merges.moved = False
    stage.log.settle()
    assert (branches.deleted_at, stage.states()) == (None, ["undone"])
    stage.log.rows.begin(stage.task.id, OperationKind.MERGE, move)
    stage.merges.moved = True
    stage.log.settle()
    assert (branches.deleted_at, stage.status()) == (SOURCE, "MERGED")
