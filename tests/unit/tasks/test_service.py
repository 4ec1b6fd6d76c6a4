"""The use cases on tasks (I1 to I5, J1, K7, H4)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent_runner.agents import agent_provider
from agent_runner.classify.scope import models_of_vendor
from agent_runner.models import Budget, PauseReason, Usage
from rover_mcp.daemon.host_adapters import HostAgents
from rover_mcp.domain.errors import Conflict, EnvironmentFault, NotFound, UserFixable
from rover_mcp.domain.model_rates import Rates
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import DELETING, Event, TaskStatus
from rover_mcp.gateway.prices import price_list
from rover_mcp.server import result_text
from rover_mcp.server.results import TaskListResult
from rover_mcp.store import store_tables
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.auto_resume import set_auto_resume
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.diff import changed
from rover_mcp.tasks.task_ports import AgentProgram, DiffResult
from rover_mcp.tasks.view_models import ChangesView, TaskView
from tests.support.desk import FakeAgents, FakeWork, ServerHarness
from tests.support.requests import create_request
from tests.support.samples import NOW, pause, run_state, snapshot

S = TaskStatus
AT = NOW.timestamp()


def made(desk: ServerHarness) -> TaskRow:
    return row(desk, desk.tasks.create(desk.caller, create_request("Fix the sum")))


def row(desk: ServerHarness, task: TaskRow | TaskView) -> TaskRow:
    found = desk.store.tasks.get(task.id)
    assert found is not None
    return found


def running(desk: ServerHarness) -> TaskRow:
    task = made(desk)
    assert desk.store.claims.start(task.id, 1, f"attempt-{task.id}-1")
    desk.store.attempts.move(task.id, 1, ("starting",), state="running")
    return row(desk, task)


def paused(
    desk: ServerHarness, reason: PauseReason = PauseReason.CREDITS, *, scheduled: bool = True
) -> TaskRow:
    task = running(desk)
    desk.store.attempts.move(task.id, 1, ("running",), state="ended")
    after = desk.store.transitions.apply(
        task.id, Event.PAUSE, attempt=1, schedule=scheduled, pause=pause(reason),
        retry_at=AT + 900 if scheduled else None, run_state=run_state(),
    )  # fmt: skip
    assert after is not None
    return after


def request_file(desk: ServerHarness, task: TaskRow) -> Path:
    return TaskFolders(desk.home, task.id, task.iteration).pause_request


# Finding


def test_a_task_is_found_by_its_id_and_by_its_number(desk: ServerHarness) -> None:
    """I2."""
    task = made(desk)
    assert (
        desk.tasks.finder.find(desk.caller, task.id)
        == desk.tasks.finder.find(desk.caller, "1")
        == task
    )
    elsewhere = Caller("d" * 32, desk.home)
    assert desk.tasks.finder.find(elsewhere, "1") == task
    assert desk.tasks.finder.find(elsewhere, "1", str(desk.repo)) == task


@pytest.mark.parametrize("named", ["2", "f" * 32])
def test_a_task_that_is_not_there_is_named(desk: ServerHarness, named: str) -> None:
    made(desk)
    with pytest.raises(NotFound, match=f"no task {named}") as caught:
        desk.tasks.finder.find(desk.caller, named)
    assert caught.value.code == "unknown_task"


@pytest.mark.parametrize("named", ["12abc", "-1", "", "１", "1\n"])
def test_a_malformed_name_is_refused(desk: ServerHarness, named: str) -> None:
    """I2."""
    with pytest.raises(UserFixable, match="does not name a task"):
        desk.tasks.finder.find(desk.caller, named)


def test_a_number_in_two_projects_is_ambiguous_from_outside(
    desk: ServerHarness, tmp_path: Path
) -> None:
    made(desk)
    (tmp_path / "other" / ".git").mkdir(parents=True)
    other = Caller("d" * 32, tmp_path / "other")
    second = desk.tasks.create(other, create_request("Fix"))
    assert desk.tasks.finder.find(other, "1").id == second.id
    with pytest.raises(UserFixable, match="more than one project has a task 1") as caught:
        desk.tasks.finder.find(Caller("e" * 32, tmp_path), "1")
    assert caught.value.code == "ambiguous_task"


@pytest.fixture
def other(desk: ServerHarness, tmp_path: Path) -> Caller:
    """A caller in a repository that has no task yet."""
    (tmp_path / "other" / ".git").mkdir(parents=True)
    return Caller("d" * 32, tmp_path / "other")


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("by_path", [False, True])
def test_a_number_never_names_a_task_of_another_repository(
    desk: ServerHarness, other: Caller, *, changes: bool, by_path: bool
) -> None:
    """I2. `cancel_task {"task": "1"}` from a repository without tasks ended another's."""
    task = made(desk)
    caller, path = (desk.caller, str(other.cwd)) if by_path else (other, None)
    for name in ("1", "#1", task.branch):
        with pytest.raises(NotFound, match=f"no task {name.lstrip('#')} in {other.cwd}") as caught:
            desk.tasks.finder.find(caller, name, path, changes=changes)
        assert caught.value.hint is not None
        assert task.id in caught.value.hint


def test_outside_of_repositories_a_number_is_enough_for_reading_only(
    desk: ServerHarness, tmp_path: Path
) -> None:
    """I2."""
    task, nowhere = made(desk), Caller("e" * 32, tmp_path)
    assert desk.tasks.finder.find(nowhere, "1") == task
    with pytest.raises(UserFixable, match="could be a task of any project") as caught:
        desk.tasks.finder.find(nowhere, "1", changes=True)
    assert caught.value.code == "no_repository"
    assert task.id in (caught.value.hint or "")
    for name in (task.id, task.id[:9], f"{task.id}.2"):
        assert desk.tasks.finder.find(nowhere, name, changes=True) == task


def test_a_given_path_that_is_no_repository_is_an_error(
    desk: ServerHarness, tmp_path: Path
) -> None:
    with pytest.raises(UserFixable, match="not in a git repository"):
        desk.tasks.finder.find(desk.caller, "1", str(tmp_path))


# Listing


def test_pages_follow_each_other_to_the_end(desk: ServerHarness) -> None:
    for _ in range(5):
        made(desk)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page, cursor, _ = desk.tasks.list(desk.caller, (), None, cursor, 2)
        seen += [view.id for view in page]
    assert cursor is None
    assert seen == [t.id for t in desk.store.tasks.page()]


@pytest.mark.parametrize(
    "cursor",
    ["x", "", "====", "ünïcödé", "\x00", base64.urlsafe_b64encode(b"1.0").decode(),
     base64.urlsafe_b64encode(b"a b").decode(), base64.urlsafe_b64encode(b"\xff 1").decode()],
)  # fmt: skip
def test_a_made_up_cursor_is_refused(desk: ServerHarness, cursor: str) -> None:
    if not cursor:
        assert desk.tasks.list(desk.caller, (), None, cursor, 2) == ([], None, [])
        return
    with pytest.raises(UserFixable) as caught:
        desk.tasks.list(desk.caller, (), None, cursor, 2)
    assert caught.value.code == "invalid_cursor"


def test_a_listing_is_by_status_and_by_repository(desk: ServerHarness, tmp_path: Path) -> None:
    """H6: with the provider and the next retry of what is paused."""
    made(desk)
    task = paused(desk)
    [view], _, _ = desk.tasks.list(desk.caller, (S.PAUSED,), str(desk.repo), None, 20)
    assert view.id == task.id
    assert view.pause is not None
    assert (view.pause.provider, view.pause.auto_resume) == ("anthropic", True)
    (tmp_path / "other" / ".git").mkdir(parents=True)
    assert desk.tasks.list(desk.caller, (), str(tmp_path / "other"), None, 20) == ([], None, [])


def test_without_a_limit_a_page_is_what_an_assistant_reads_gladly(desk: ServerHarness) -> None:
    """Under 2,000 tokens, structure and text together, whatever the tasks say of themselves; the
    next page goes on where it ended."""
    ids = [paused(desk).id for _ in range(25)]
    seen: list[str] = []
    cursor: str | None = None
    while cursor is not None or not seen:
        views, cursor, _ = desk.tasks.list(desk.caller, (), None, cursor, None)
        result = TaskListResult(tasks=views, next_cursor=cursor)
        size = len(result.model_dump_json(exclude_none=True)) + len(result_text.text_of(result))
        assert size / 4 < 2000
        assert views
        seen += [view.id for view in views]
    assert sorted(seen) == sorted(ids)
    views, cursor, _ = desk.tasks.list(desk.caller, (), None, None, 25)
    assert (len(views), cursor) == (25, None)


# Resuming


@pytest.mark.parametrize("status", [S.PAUSED, S.FAILED])
def test_what_is_paused_or_failed_is_resumed(desk: ServerHarness, status: TaskStatus) -> None:
    """I1, I3, I5."""
    task = paused(desk)
    if status is S.FAILED:
        desk.store.transitions.resume(task.id, None)
        desk.store.transitions.apply(task.id, Event.FAIL, error="boom")
    request_file(desk, task).parent.mkdir(parents=True)
    request_file(desk, task).write_text("{}")
    desk.control.enqueued.clear()
    done = desk.tasks.resume(desk.caller, row(desk, task), "now")
    assert (done.result, done.has_checkpoint) == ("resumed", False)
    assert "starts from the beginning" in done.message
    assert (done.task.status, done.task.pause, done.task.error) == (S.IN_PROGRESS, None, None)
    [attempt] = desk.control.enqueued
    assert attempt == desk.store.attempts.get(task.id, done.task.attempt)
    assert attempt.client_id == desk.caller.client_id
    assert not request_file(desk, task).exists()


def test_a_checkpoint_is_told(desk: ServerHarness) -> None:
    """I5."""
    task = paused(desk)
    desk.control.checkpoint = True
    done = desk.tasks.resume(desk.caller, task, "now")
    assert (done.has_checkpoint, done.message) == (True, "it continues from its checkpoint")


def test_a_task_that_runs_is_already_resuming(desk: ServerHarness) -> None:
    """I3."""
    task = running(desk)
    assert desk.tasks.resume(desk.caller, task, "now").result == "already_resuming"


def test_who_loses_the_race_is_told_that_another_won(desk: ServerHarness) -> None:
    """I3, J1."""
    task = paused(desk)
    desk.control.enqueued.clear()
    assert desk.tasks.resume(desk.caller, task, "now").result == "resumed"
    second = desk.tasks.resume(desk.caller, task, "now")
    assert (second.result, second.task.status) == ("already_resuming", S.IN_PROGRESS)
    assert len(desk.control.enqueued) == 1


def not_resumable(desk: ServerHarness, task: TaskRow, when: str = "now", **more: Any) -> Conflict:
    """The error of a resume."""
    with pytest.raises(Conflict) as raised:
        desk.tasks.resume(desk.caller, task, when, **more)
    assert raised.value.code == "not_resumable"
    return raised.value


@pytest.mark.parametrize("event", [None, Event.COMPLETE])
def test_any_other_status_is_refused_by_name(desk: ServerHarness, event: Event | None) -> None:
    """I1, I3."""
    task = running(desk) if event else made(desk)
    after = row(desk, desk.store.transitions.apply(task.id, event) or task) if event else task
    refused = not_resumable(desk, after)
    assert after.status in refused.message
    tool = "get_diff" if event else "wait_for_task"
    assert refused.next_call == {"tool": tool, "arguments": {"task": task.id}}


def test_resuming_at_the_reset_leaves_the_schedule(desk: ServerHarness) -> None:
    task = paused(desk)
    done = desk.tasks.resume(desk.caller, task, "at_reset")
    assert (done.result, row(desk, task)) == ("scheduled", task)


@pytest.mark.parametrize(
    ("reason", "off", "why"),
    [
        (PauseReason.REQUESTED, False, "it was paused on request; resume_task without at_reset"),
        (PauseReason.CREDITS, True, "switched off for this task; set_auto_resume with enabled"),
    ],
)
def test_what_does_not_go_on_by_itself_is_not_started_in_place_of_that(
    desk: ServerHarness, reason: PauseReason, off: bool, why: str
) -> None:
    task = paused(desk, reason, scheduled=reason is PauseReason.CREDITS)
    if off:
        set_auto_resume(desk.tasks, False, task=task)
    desk.control.enqueued.clear()
    refused = not_resumable(desk, row(desk, task), "at_reset")
    assert (refused.instead, row(desk, task).status) == ({"when": None}, S.PAUSED)
    assert why in refused.message
    assert desk.control.enqueued == []


def test_what_is_to_change_at_the_reset_is_not_lost_without_a_word(desk: ServerHarness) -> None:
    refused = not_resumable(desk, paused(desk), "at_reset", budget=Budget(usd=3))
    assert "at_reset cannot be combined with another agent, model or budget" in refused.message


# Reading


@pytest.mark.parametrize("named", ["x", "./x", "{repo}/x", ".", "{repo}"])
def test_a_path_may_be_given_as_the_checkout_has_it(desk: ServerHarness, named: str) -> None:
    found = desk.tasks.diff(made(desk), [named.format(repo=desk.repo)], stat_only=False)
    assert (found.changes.files, found.elsewhere) == (1, None)


@pytest.mark.parametrize("named", ["../x", "/etc/passwd", "{repo}/../x", "a/../../x"])
def test_a_path_outside_is_refused(desk: ServerHarness, named: str) -> None:
    with pytest.raises(UserFixable, match="is not in the repository") as caught:
        desk.tasks.diff(made(desk), [named.format(repo=desk.repo)], stat_only=True)
    assert caught.value.code == "path_outside"


def test_where_none_of_the_paths_changed_it_is_said_that_others_did(desk: ServerHarness) -> None:
    found = desk.tasks.diff(made(desk), ["y"], stat_only=False)
    assert (found.changes.files, found.elsewhere) == (0, 1)


def test_where_nothing_changed_no_others_are_told_of(desk: ServerHarness) -> None:
    class Idle(FakeWork):
        def diff(
            self, task: TaskRow, paths: Sequence[str], *, stat_only: bool, offset: int = 0
        ) -> DiffResult:
            return DiffResult(ChangesView(files=0, added=0, removed=0), "", truncated=False)

    assert changed(Idle(), made(desk), ["y"], stat_only=True).elsewhere is None


# Pausing


def test_pausing_a_running_task_asks_its_sandbox(desk: ServerHarness) -> None:
    """E1, D8."""
    task = running(desk)
    desk.tasks.pause(task)
    assert desk.control.stopped == [task.id]
    assert request_file(desk, task).read_text() == '{"reason": "requested"}'


def test_pausing_a_queued_task_needs_no_sandbox(desk: ServerHarness) -> None:
    task = made(desk)
    view = desk.tasks.pause(task)
    assert (view.status, desk.control.stopped) == (S.PAUSED, [])
    assert view.pause is not None
    assert (view.pause.reason, view.pause.auto_resume) == ("requested", False)


def test_pausing_a_task_just_claimed_asks_its_sandbox(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: it was queued when it was looked at, and starts now."""
    task = made(desk)
    stale = desk.store.attempts.get(task.id, 1)
    desk.store.claims.start(task.id, 1, f"attempt-{task.id}-1")
    monkeypatch.setattr(desk.store.attempts, "get", lambda *_: stale)
    view = desk.tasks.pause(task)
    assert (view.status, desk.control.stopped) == (S.IN_PROGRESS, [task.id])
    assert request_file(desk, task).exists()


def test_pausing_what_waits_for_its_time_stops_that(desk: ServerHarness) -> None:
    """K7: the switch of one task."""
    task = paused(desk)
    view = desk.tasks.pause(task)
    assert view.pause is not None
    assert (view.status, view.pause.auto_resume) == (S.PAUSED, False)
    assert desk.store.attempts.in_states(["scheduled"]) == []
    assert desk.tasks.pause(row(desk, task)) == view


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.CANCEL])
def test_what_has_ended_cannot_be_paused(desk: ServerHarness, event: Event) -> None:
    task = desk.store.transitions.apply(running(desk).id, event)
    assert task is not None
    with pytest.raises(Conflict, match=f"task 1 is {task.status}"):
        desk.tasks.pause(task)


# Cancelling and reading


def test_cancelling_ends_the_sandbox_and_is_harmless_twice(desk: ServerHarness) -> None:
    task = running(desk)
    view = desk.tasks.cancel(task)
    tools = [a.tool for a in view.next_actions]
    assert (view.status, tools) == (S.CANCELLED, ["get_diff", "resume_task"])
    assert desk.tasks.cancel(row(desk, task)).status is S.CANCELLED
    assert desk.control.stopped == [task.id]


def test_a_cancelled_task_can_be_resumed_once_it_has_ended(desk: ServerHarness) -> None:
    """All of its work is kept."""
    task = running(desk)
    desk.tasks.cancel(task)
    early = not_resumable(desk, row(desk, task))
    assert "still being stopped" in early.message
    assert early.next_call == {"tool": "resume_task", "arguments": {"task": task.id}}
    desk.store.attempts.move(task.id, 1, ("running",), state="ended")
    done = desk.tasks.resume(desk.caller, row(desk, task), "now")
    assert (done.result, done.task.status) == ("resumed", S.IN_PROGRESS)


def test_a_task_whose_deletion_has_begun_is_not_resumed(desk: ServerHarness) -> None:
    task = row(desk, desk.tasks.cancel(paused(desk)))
    desk.store.events.add(task.id, DELETING, {})
    refused = not_resumable(desk, task)
    assert "deletion" in refused.message
    assert refused.next_call == {"tool": "delete_task", "arguments": {"task": task.id}}
    assert desk.store.transitions.resume(task.id, None) is None


def test_what_is_completed_cannot_be_cancelled(desk: ServerHarness) -> None:
    task = running(desk)
    desk.store.transitions.apply(task.id, Event.COMPLETE)
    with pytest.raises(Conflict, match="is COMPLETED"):
        desk.tasks.cancel(task)


def test_inspect_shows_what_changed_or_why_it_cannot(desk: ServerHarness) -> None:
    task = paused(desk)
    changes = desk.tasks.inspect(task, full=False).changes
    assert changes is not None
    assert changes.files == 1
    desk.work.fault = EnvironmentFault("the hub is broken")
    view = desk.tasks.inspect(task, full=False)
    assert (view.changes, view.warnings) == (None, ["no diff: the hub is broken"])
    fresh = desk.tasks.inspect(running(desk), full=False)
    assert (fresh.changes, fresh.warnings) == (None, None)


def test_a_running_tasks_view_is_live(desk: ServerHarness) -> None:
    task = running(desk)
    desk.live[task.id] = run_state()
    assert desk.tasks.view(task).phase == "step 3 of 4: implement"
    kinds = [e.event for e in desk.tasks.events(task)]
    assert kinds == ["task.created", "task.started"]


def test_the_status_report_counts_what_runs_waits_and_is_paused(desk: ServerHarness) -> None:
    running(desk)
    made(desk)
    paused(desk)
    report = desk.status.report(desk.caller)
    assert report["queue"] | {"limit": 0} == {"running": 1, "queued": 1, "paused": 1, "limit": 0}
    assert [e["name"] for e in report["engines"]]
    assert {a["name"]: a["signed_in"] for a in report["agents"]} == {
        "claude": True,
        "scripted": True,
    }


# Budgets, agents, switches


def spent(desk: ServerHarness, usd: float, budget: Budget | None = None) -> TaskRow:
    """A task that paused at its budget of one dollar."""
    task = paused(desk, PauseReason.BUDGET, scheduled=False)
    usage = Usage(output_tokens=100, cost_usd=usd)
    state = run_state().model_copy(update={"usage": usage})
    desk.store.tasks.update(task.id, budget=budget or Budget(usd=1.0), run_state=state)
    return row(desk, task)


@pytest.mark.parametrize("budget", [None, Budget(usd=1.0), Budget(usd=1.2), Budget(tokens=10**6)])
def test_a_budget_that_is_used_up_is_asked_for_again(
    desk: ServerHarness, budget: Budget | None
) -> None:
    """I3, D8, K4: not_resumable, with a call that would work; nothing has changed."""
    task = spent(desk, 1.2)
    refused = not_resumable(desk, task, budget=budget)
    assert "it has spent $1.20 of $1." in refused.message
    assert "call resume_task with budget_usd=" in refused.message
    assert refused.next_call is not None
    assert "budget_usd" in str(refused.next_call["arguments"])
    assert row(desk, task) == task


def test_a_larger_budget_lets_the_task_go_on(desk: ServerHarness) -> None:
    """D8, I3: the other limit stays as it was."""
    task = spent(desk, 1.2, Budget(usd=1.0, tokens=5000))
    done = desk.tasks.resume(desk.caller, task, "now", budget=Budget(usd=3))
    assert done.result == "resumed"
    assert row(desk, task).budget == Budget(usd=3, tokens=5000)


def test_a_budget_of_tokens_counts_all_of_them(desk: ServerHarness) -> None:
    """D8."""
    task = spent(desk, 0.0, Budget(tokens=100))
    refused = not_resumable(desk, task)
    assert "it has used 100 of 100 tokens" in refused.message
    assert "budget_tokens=200" in refused.message


def test_another_agent_goes_on_where_it_is_asked_for(desk: ServerHarness) -> None:
    """I5, K4: the same work; a model is an agent's own. The first may take over again."""
    task = paused(desk)
    desk.store.tasks.update(task.id, model="opus", agents=["claude", "scripted"])
    done = desk.tasks.resume(desk.caller, row(desk, task), "now", agent="scripted")
    after = row(desk, task)
    assert done.result == "resumed"
    assert (after.agent, after.agents, after.model) == ("scripted", ["scripted", "claude"], None)
    with pytest.raises(NotFound, match="there is no agent 'gpt'"):
        desk.tasks.resume(desk.caller, paused(desk), "now", agent="gpt")


@pytest.mark.parametrize("scope", ["task", "project", "all"])
def test_automatic_resumes_are_switched_off_and_on_again(desk: ServerHarness, scope: str) -> None:
    """K7: what was scheduled is dropped at once, and scheduled again."""
    task = paused(desk)

    def switch(enabled: bool) -> int:
        return set_auto_resume(
            desk.tasks,
            enabled,
            task=row(desk, task) if scope == "task" else None,
            project_id=task.project_id if scope == "project" else None,
        )

    assert switch(False) == 1
    assert (row(desk, task).retry_at, desk.store.attempts.in_states(["scheduled"])) == (None, [])
    shown = desk.tasks.view(row(desk, task)).pause
    assert shown is not None
    assert not shown.auto_resume
    assert switch(False) == 0
    assert switch(True) == 1
    assert row(desk, task).retry_at is not None
    assert switch(True) == 0


def test_switching_on_concerns_every_paused_task_however_many(desk: ServerHarness) -> None:
    """K7: page after page."""
    task = paused(desk)
    set_auto_resume(desk.tasks, False)
    with desk.store.database.engine.begin() as connection:
        found = connection.execute(sa.select(store_tables.tasks)).one()._mapping
        first = connection.execute(sa.select(store_tables.attempts).limit(1)).one()._mapping
        for n in range(2, 252):
            copy = f"{n:032x}"
            connection.execute(
                store_tables.tasks.insert().values(**dict(found) | {"id": copy, "number": n})
            )
            named = {"task_id": copy, "workflow_id": copy}
            connection.execute(store_tables.attempts.insert().values(**dict(first) | named))
    assert set_auto_resume(desk.tasks, True) == 251
    assert row(desk, task).retry_at is not None


def test_switching_resumes_on_does_not_resume_what_a_person_paused(desk: ServerHarness) -> None:
    """K7, D8: and why it was paused before can still be read."""
    task = paused(desk)
    desk.tasks.pause(task)
    after = row(desk, task)
    assert after.pause is not None
    assert after.pause.reason is PauseReason.REQUESTED
    assert "credit balance is too low" in after.pause.message


def test_only_a_failed_task_is_restarted(desk: ServerHarness) -> None:
    """H4: for a paused one the answer says what to call."""
    task = paused(desk)
    with pytest.raises(Conflict, match="only one that FAILED") as refused:
        desk.tasks.restart(desk.caller, task)
    assert refused.value.next_call == {"tool": "resume_task", "arguments": {"task": task.id}}
    assert row(desk, task) == task
    failed = desk.store.transitions.apply(running(desk).id, Event.FAIL, error="a step failed")
    assert failed
    assert desk.tasks.restart(desk.caller, failed).status is S.IN_PROGRESS
    with pytest.raises(Conflict, match="IN_PROGRESS"):
        desk.tasks.restart(desk.caller, row(desk, failed))


def test_a_restart_that_fails_gives_back_what_the_task_was(desk: ServerHarness) -> None:
    """H5, I4."""
    failed = desk.store.transitions.apply(running(desk).id, Event.FAIL, error="a step failed")
    assert failed
    task = desk.store.transitions.resume(failed.id, "client", restart=True)
    assert task
    assert desk.store.transitions.undo_resume(failed.id, task[1].attempt, "no engine", None)
    after = row(desk, failed)
    assert (after.status, after.error) == (S.FAILED, "a step failed")
    assert after.ended_at == failed.ended_at


def test_a_result_that_waits_for_a_look_has_to_be_accepted(desk: ServerHarness) -> None:
    """A plain resume changes nothing, and accepting names the very result."""
    state = run_state().model_copy(update={"snapshot": snapshot()})
    desk.store.tasks.update(
        paused(desk, PauseReason.NEEDS_LOOK, scheduled=False).id, run_state=state
    )
    [task] = desk.store.tasks.page(limit=1)
    assert isinstance(task, TaskRow)
    refused = not_resumable(desk, task)
    assert "accept=true" in refused.message
    accept = {"task": task.id, "accept": True}
    assert refused.next_call == {"tool": "resume_task", "arguments": accept}
    folders = TaskFolders(desk.home, task.id, 1)
    assert not folders.accepted.exists()
    done = desk.tasks.resume(desk.caller, task, "now", accept=True)
    assert (done.result, done.message) == ("resumed", "it is delivered as it is")
    assert folders.accepted.read_text().strip() == snapshot().head


def test_accepting_is_for_what_waits_for_a_look(desk: ServerHarness) -> None:
    task = paused(desk)
    assert "accept is for" in not_resumable(desk, task, accept=True).message
    assert row(desk, task).status is S.PAUSED


def test_only_agents_that_could_take_over_now_are_proposed(desk: ServerHarness) -> None:
    """A pause proposed agents that had no key, and those whose account is closed, too."""
    task = paused(desk)
    everybody = {a.arguments["agent"] for a in desk.tasks.view(task).next_actions
                 if "agent" in a.arguments}  # fmt: skip
    desk.control.lacking["codex"] = "no OPENAI_API_KEY"
    desk.control.closed.add("gemini")
    actions = desk.tasks.view(task).next_actions
    assert {a.arguments["agent"] for a in actions if "agent" in a.arguments} == everybody - {
        "codex",
        "gemini",
    }


def test_who_creates_or_resumes_is_warned_that_the_agent_cannot_sign_in(
    desk: ServerHarness,
) -> None:
    """The warning is of now: it is gone once there is a credential."""
    task = paused(desk)
    desk.control.lacking |= {"claude": "no key", "scripted": "none either"}
    resumed = desk.tasks.resume(desk.caller, task, "now").task
    made = desk.tasks.create(desk.caller, create_request("x", agents=("claude", "scripted")))
    for view in (resumed, made):
        said = f"{view.agent} cannot sign in, so the task pauses until it can: "
        assert [w for w in view.warnings or () if w.startswith(said)]
    assert not desk.tasks.view(row(desk, task)).warnings
    del desk.control.lacking["scripted"]
    able = desk.tasks.create(desk.caller, create_request("x", agents=("claude", "scripted")))
    assert not able.warnings


def test_a_missing_key_is_warned_of_once(desk: ServerHarness) -> None:
    desk.tasks.create_task.signed_in = lambda agent, _caller: agent != "claude"
    desk.control.lacking["claude"] = "no credential for anthropic"
    created = desk.tasks.create(desk.caller, create_request("x", agents=("claude",)))
    warnings = [w for w in created.warnings or () if "no key" in w or "cannot sign in" in w]
    assert len(warnings) == 1
    assert warnings[0].startswith("there is no key or login for claude: ")


def test_no_agent_is_proposed_whose_program_or_log_in_nobody_knows_of(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cursor signs in by itself; goose is only where an image has it."""
    agents = desk.tasks.create_task.agents
    known = ["claude", "codex", "cursor", "goose", "scripted"]
    monkeypatch.setattr(agents, "known", lambda: known)
    by_name = {"goose": AgentProgram("image")}
    own = AgentProgram("own", "1.0", Path("/agents/own"))
    monkeypatch.setattr(agents, "program", lambda name, _path: by_name.get(name, own))
    task = paused(desk, PauseReason.CREDITS)
    calls = desk.tasks.view(task).next_actions or []
    proposed = [c.arguments["agent"] for c in calls if "agent" in c.arguments]
    assert proposed == ["codex"]


def paused_for_a_model(desk: ServerHarness, model: str | None = "opus") -> TaskRow:
    task = running(desk)
    desk.store.attempts.move(task.id, 1, ("running",), state="ended")
    why = pause(PauseReason.USAGE_WINDOW).model_copy(update={"model": model})
    after = desk.store.transitions.apply(
        task.id, Event.PAUSE, attempt=1, schedule=True, pause=why, retry_at=AT + 900,
        run_state=run_state(),
    )  # fmt: skip
    assert after is not None
    return after


def models_proposed(desk: ServerHarness, task: TaskRow) -> list[object]:
    actions = desk.tasks.view(task).next_actions
    return [a.arguments["model"] for a in actions if "model" in a.arguments]


def offer(desk: ServerHarness, *models: str) -> None:
    agents = desk.tasks.create_task.agents
    assert isinstance(agents, FakeAgents)
    agents.offered["claude"] = models


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_another_service_is_known_to_have_the_models_that_the_user_names(agent: str) -> None:
    """Rover's list of prices says nothing of what a proxy serves."""
    provider = str(agent_provider(agent))
    mine = {provider: {"vendor/my-model": Rates(input=1, output=2)}}
    agents = HostAgents(price_list().with_own(mine))
    assert len(agents.models(agent, own_api=True)) > 5
    assert agents.models(agent, own_api=False) == ("vendor/my-model",)
    assert HostAgents().models(agent, own_api=False) == ()


def test_other_models_are_proposed_where_one_models_window_is_closed(desk: ServerHarness) -> None:
    """Those that are known, that the step takes and whose own limit is open."""
    offer(desk, "opus", "claude-opus-4-5", "sonnet", "claude-sonnet-5", "haiku", "fable", "x", "y")
    desk.control.closed.add("haiku")
    desk.control.unused.add("fable")
    task = paused_for_a_model(desk)
    assert models_proposed(desk, task) == ["sonnet", "x", "y"]
    action = next(a for a in desk.tasks.view(task).next_actions if "model" in a.arguments)
    assert action.arguments == {"task": task.id, "model": "sonnet"}
    assert action.why == "continue at once with sonnet, to which the account is open"
    assert models_proposed(desk, paused_for_a_model(desk, None)) == [], "the account is closed"


def test_models_that_another_service_serves_are_proposed(desk: ServerHarness) -> None:
    """Those like the one whose window is closed, after those that the user
    named; what the provider itself would be asked for is not asked there."""
    desk.control.served = [
        "text-embed",
        "glm-4.6",
        "vendor/glm-4.5-air",
        "gpt-x",
        "glm-4.5",
        "glm-4",
    ]
    task = paused_for_a_model(desk, "glm-4.6")
    assert models_proposed(desk, task) == []
    desk.control.asks_own = False
    offer(desk, "mine")
    assert models_proposed(desk, task) == ["mine", "vendor/glm-4.5-air", "glm-4.5"]
    desk.control.unused.update(desk.control.served)
    assert models_proposed(desk, task) == ["mine"]


def test_models_of_claude_are_akin_whatever_they_are_called() -> None:
    names = ["anthropic/claude-sonnet-5", "haiku", "text-embed", "kimi-k2", "claude-2"]
    assert models_of_vendor("opus", names) == ["anthropic/claude-sonnet-5", "haiku", "claude-2"]


def test_a_resume_with_another_model_asks_for_it(desk: ServerHarness) -> None:
    """The agents that may take over stay."""
    task = paused_for_a_model(desk)
    done = desk.tasks.resume(desk.caller, task, "now", model="sonnet")
    after = row(desk, task)
    assert (done.result, after.model, after.agent) == ("resumed", "sonnet", task.agent)
    assert after.agents == task.agents


def test_a_resume_with_a_model_that_the_step_does_not_take_changes_nothing(
    desk: ServerHarness,
) -> None:
    task = paused_for_a_model(desk)
    desk.control.unused.add("sonnet")
    with pytest.raises(UserFixable, match="sonnet cannot be used, and nothing was changed"):
        desk.tasks.resume(desk.caller, task, "now", model="sonnet")
    not_resumable(desk, task, "at_reset", model="haiku")
    assert row(desk, task) == task


def test_a_resume_with_an_agent_that_cannot_sign_in_changes_nothing(desk: ServerHarness) -> None:
    task = paused(desk)
    desk.control.lacking["scripted"] = "no key"
    with pytest.raises(
        UserFixable, match="scripted cannot sign in, so nothing was changed: no key"
    ):
        desk.tasks.resume(desk.caller, task, "now", agent="scripted")
    assert row(desk, task) == task
