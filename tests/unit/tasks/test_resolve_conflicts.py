"""Conflicts of a rebase are resolved by a task of its own; the finished one stays what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from agent_runner.models import Budget, RunState, Usage
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_checkouts import HostCheckouts
from rover_mcp.domain.conflicted_file import ConflictedFile, ConflictRegion
from rover_mcp.domain.errors import Conflict, UserFixable
from rover_mcp.domain.iteration import IterationInput, ResolutionRound
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.resolution import ResolvedPart
from rover_mcp.domain.resolution_text import ShownResolution
from rover_mcp.domain.task_links import ResolvesFor
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.checkout import CheckoutRequest, CheckoutTask
from rover_mcp.tasks.merge import MergeRequest, MergeTask
from rover_mcp.tasks.push import PushRequest, PushTask
from rover_mcp.tasks.rebase import RebaseTask
from rover_mcp.tasks.resolve_conflicts import WORKFLOW, ResolveConflicts
from rover_mcp.tasks.task_view import event_view
from tests.support.desk import FakeBranches, ServerHarness
from tests.support.fake_merges import FakeMerges
from tests.support.fake_pushes import FakePushes
from tests.support.fake_rebases import OLD, ONTO, PLAN, FakeConflictResolution, FakeRebases
from tests.unit.tasks.test_iterate import ended

REGION = ConflictRegion(line=3, onto="a\n", base="b\n", branch="c\n")
CONFLICTS = (ConflictedFile(path="f", kind="contents", regions=(REGION,)),)
RESOLVED = (ShownResolution("f", "5" * 40, "subject", [ResolvedPart(REGION, "a\nc\n")]),)


@dataclass
class ResolutionHarness:
    """A completed task whose branch conflicts with its base."""

    desk: ServerHarness
    task: TaskRow
    rebases: FakeRebases
    resolving: FakeConflictResolution
    rebase: RebaseTask
    resolve: ResolveConflicts

    def begin(self) -> TaskRow:
        return self.resolve(self.desk.caller, self.task, None)


@pytest.fixture
def stage(desk: ServerHarness) -> ResolutionHarness:
    rebases, resolving = FakeRebases(replace(PLAN, conflicts=CONFLICTS)), FakeConflictResolution()
    rebase = RebaseTask(desk.store, rebases, desk.log())
    resolve = ResolveConflicts(desk.tasks.create_task, rebase, resolving)
    return ResolutionHarness(desk, ended(desk), rebases, resolving, rebase, resolve)


def test_it_is_a_task_of_its_own_that_starts_at_the_stop(stage: ResolutionHarness) -> None:
    """N2."""
    new, task = stage.begin(), stage.task
    assert (new.status, new.workflow, new.base_commit) == ("NEW", WORKFLOW, ONTO)
    assert (new.agent, new.engine, new.description) == (task.agent, task.engine, task.description)
    link = ResolvesFor(
        task=task.id, number=task.number, tip=OLD, stands_on=PLAN.stands_on, onto=ONTO,
        base_branch="main",
    )  # fmt: skip
    assert new.links is not None
    assert (new.links.resolves, stage.resolving.links) == (link, {new.id: link})
    assert new.iteration_input is not None
    assert new.iteration_input.round == ResolutionRound(stop="5" * 40)
    workflow = TaskFolders(stage.desk.home, new.id, 1).input / "workflow.yaml"
    assert f"name: {WORKFLOW}" in workflow.read_text()
    assert stage.desk.store.tasks.get(task.id) == task
    assert [plan.conflicts for plan in stage.rebases.conflicts] == [CONFLICTS]
    origin = stage.desk.tasks.view(new).origin
    assert origin == f"resolves the conflicts of task {task.number} with main"


def test_a_second_call_starts_no_second_task_while_one_is_at_work(stage: ResolutionHarness) -> None:
    first = stage.begin()
    assert stage.begin().id == first.id
    text = stage.rebase.preview(stage.desk.caller, stage.task, None).text
    assert f"wait for task {first.number}, which resolves them (NEW)" in text
    stage.desk.store.transitions.apply(first.id, Event.CANCEL)
    assert stage.begin().id != first.id


def test_there_have_to_be_conflicts(stage: ResolutionHarness) -> None:
    stage.rebases.planned = PLAN
    with pytest.raises(Conflict, match="has no conflicts with main"):
        stage.begin()


def test_it_has_what_is_left_of_the_budget(stage: ResolutionHarness) -> None:
    store = stage.desk.store
    state = RunState(usage=Usage(input_tokens=60, cost_usd=0.5))
    store.tasks.update(stage.task.id, budget=Budget(usd=2, tokens=100), run_state=state)
    assert stage.begin().budget == Budget(usd=1.5, tokens=40)
    store.tasks.update(stage.task.id, budget=Budget(tokens=60))
    stage.rebases.resolvers.clear()
    with pytest.raises(Conflict, match="leaves nothing"):
        stage.begin()


def test_users_over_http_cannot_start_it(stage: ResolutionHarness) -> None:
    with pytest.raises(UserFixable, match="only the user of this machine"):
        stage.resolve(replace(stage.desk.caller, user="u"), stage.task, None)


def test_a_resolution_counts_only_once_it_was_shown(stage: ResolutionHarness) -> None:
    """N2."""
    stage.rebases.planned = replace(PLAN, resolved=RESOLVED, check="the check fails")
    unseen = stage.rebase(stage.desk.caller, stage.task, None)
    assert (unseen.commit, stage.rebases.moves) == (None, [])
    assert "counts only once it is confirmed" in unseen.text
    assert "But the check fails." in unseen.text
    assert unseen.resolution is not None
    assert "+a\n+c" in unseen.resolution
    assert stage.rebase(stage.desk.caller, stage.task, None).commit == PLAN.new


def test_what_resolves_conflicts_has_no_branch_of_its_own(stage: ResolutionHarness) -> None:
    """N2: it cannot be merged, pushed, rebased, iterated, forked or checked out."""
    new, desk = stage.begin(), stage.desk
    for event in (Event.START, Event.COMPLETE):
        new = desk.store.transitions.apply(new.id, event) or new
    merge = MergeTask(desk.store, FakeMerges(), desk.log(), FakeBranches())
    push = PushTask(desk.store, FakePushes(), desk.log())
    host = HostCheckouts(GitRepositories(desk.home), desk.home)
    checkout = CheckoutTask(desk.store, host, desk.log())
    for attempted in (
        lambda: merge.preview(desk.caller, new, MergeRequest()),
        lambda: push.preview(desk.caller, new, PushRequest()),
        lambda: stage.rebase.preview(desk.caller, new, None),
        lambda: checkout.preview(desk.caller, new, CheckoutRequest()),
        lambda: desk.tasks.iterate(desk.caller, new, "More"),
        lambda: desk.tasks.fork(desk.caller, new, None, "More"),
    ):
        with pytest.raises(Conflict, match="has no branch") as refused:
            attempted()
        assert refused.value.next_call == {
            "tool": "rebase_task", "arguments": {"task": stage.task.id},
        }  # fmt: skip
    event = desk.store.events.last_of(new.id, Event.COMPLETE)
    assert event is not None
    summary = event_view(event, new).summary
    assert summary == f"task {new.number} has resolved the conflicts of task {stage.task.number}"
    (action,) = desk.tasks.view(new).next_actions
    assert (action.tool, action.arguments["task"]) == ("rebase_task", stage.task.id)


def test_the_next_round_follows_without_a_stop(stage: ResolutionHarness) -> None:
    """N2: a task at work goes from one stop to the next; one that was cancelled does not."""
    new, transitions = stage.begin(), stage.desk.store.transitions
    given = IterationInput(round=ResolutionRound(stop="6" * 40))
    assert transitions.iterate(new.id, 1, None, given, Event.NEXT_ROUND) is None
    transitions.apply(new.id, Event.START)
    begun = transitions.iterate(new.id, 1, None, given, Event.NEXT_ROUND, inputs={"a": "b"})
    assert begun is not None
    row, attempt = begun
    assert (row.status, row.iteration, row.inputs) == (TaskStatus.ITERATING, 2, {"a": "b"})
    assert (attempt.attempt, attempt.iteration, attempt.before) == (2, 2, None)
    transitions.apply(new.id, Event.CANCEL)
    assert transitions.iterate(new.id, 2, None, given, Event.NEXT_ROUND) is None


def test_what_failed_to_resolve_them_names_the_call_for_another_try(
    stage: ResolutionHarness,
) -> None:
    new = stage.begin()
    for event in (Event.START, Event.FAIL):
        new = stage.desk.store.transitions.apply(new.id, event) or new
    actions = stage.desk.tasks.view(new).next_actions
    assert [a.tool for a in actions] == ["get_logs", "resume_task", "rebase_task"]
    assert actions[-1].arguments == {"task": stage.task.id, "onto": "main", "resolve": True}


def test_a_rebase_without_a_look_is_done_where_the_user_said_so(stage: ResolutionHarness) -> None:
    """N2: what was left out has to be looked at all the same."""
    left_out = replace(RESOLVED[0], given_up=["the branch: c (no use)"])
    stage.rebases.planned = replace(PLAN, resolved=(left_out,))
    why = stage.rebase.unseen(stage.task, "main")
    assert why == f"task {stage.task.number} is not rebased: look at the resolution first"
    stage.rebases.planned = replace(PLAN, resolved=RESOLVED)
    stage.rebases.refusal = Conflict("it is not clean", code="not_clean")
    assert "it is not clean" in (stage.rebase.unseen(stage.task, "main") or "")
    stage.rebases.refusal = None
    assert stage.rebase.unseen(stage.task, "main") is None
    assert [move["new"] for move in stage.rebases.moves] == [PLAN.new]
    assert stage.rebases.remembered[0].resolved == RESOLVED
    stage.rebases.planned = replace(PLAN, contained=True, tree="")
    assert stage.rebase.unseen(stage.task, "main") is None
    assert len(stage.rebases.moves) == 1
