"""Holds, probes and switches, on both databases (K3 to K7)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import HoldRow, Limit, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.store.transitions import AccountRefusal
from tests.contracts.store.conftest import Clock, Make
from tests.support.contenders import contend, elect, unelect
from tests.support.samples import new_task, pause

S = TaskStatus
ACCOUNT = "anthropic-1"
WAIT = 900.0
HOUR = 3600.0


def held(
    store: Store,
    clock: Clock,
    task: TaskRow,
    *,
    waits: bool = True,
    account: str = ACCOUNT,
    reason: str = "credits",
    wait: float = WAIT,
) -> TaskRow:
    """The task's running attempt is refused; its account is closed for 15 minutes, or `wait`."""

    def refused(hold: HoldRow | None) -> HoldRow:
        return HoldRow(
            account, "anthropic", reason, "no credits", hold.since if hold else clock(),
            clock() + wait, (hold.refusals if hold else 0) + 1,
            probed_at=hold.probed_at if hold else None,
        )  # fmt: skip

    store.attempts.move(task.id, task.attempt, ("starting", "running"), state="ended")
    after = store.transitions.apply(
        task.id, Event.PAUSE, attempt=task.attempt, schedule=True, pause=pause(),
        retry_at=clock() + 5, closes=AccountRefusal(account, refused, waits=waits),
    )  # fmt: skip
    assert after is not None
    return after


def start(store: Store, task_id: str, attempt: int, account: str | None = ACCOUNT) -> Any:
    row = store.attempts.get(task_id, attempt)
    assert row is not None
    return store.claims.start(task_id, attempt, row.workflow_id, account=account)


def begun(store: Store, task: TaskRow, account: str | None = ACCOUNT) -> TaskRow:
    """Its first attempt runs on the account."""
    started = start(store, task.id, 1, account)
    assert isinstance(started, TaskRow)
    store.attempts.move(task.id, 1, ("starting",), state="running")
    return started


def wait(store: Store, task_id: str, attempt: int = 1, account: str = ACCOUNT) -> bool:
    row = store.attempts.get(task_id, attempt)
    assert row is not None
    return store.claims.hold(task_id, attempt, row.workflow_id, account)


def state(store: Store, task_id: str, attempt: int) -> str:
    row = store.attempts.get(task_id, attempt)
    assert row is not None
    return row.state


def fresh(store: Store, task_id: str) -> TaskRow:
    task = store.tasks.get(task_id)
    assert task is not None
    return task


@pytest.fixture
def closed(store: Store, make: Make, clock: Clock) -> TaskRow:
    """A task whose refusal closed the account; it waits in attempt 2."""
    return held(store, clock, begun(store, make()))


def test_a_refusal_closes_the_account_and_the_task_waits_for_it(
    store: Store, closed: TaskRow, clock: Clock
) -> None:
    """K5: hold and pause are one transaction; the time that is told is the hold's."""
    hold = store.holds.get(ACCOUNT)
    assert hold is not None
    assert (hold.refusals, hold.until, hold.probe_task) == (1, clock() + WAIT, None)
    assert store.holds.all() == [hold]
    assert (closed.status, closed.retry_at) == (S.PAUSED, clock() + WAIT)
    assert state(store, closed.id, 2) == "held"
    [told] = [e for e in store.events.after(0, task_id=closed.id) if e.kind == Event.PAUSE]
    assert told.data["retry_at"].startswith("2026-11-23T12:15:00")


def test_with_another_agent_the_task_does_not_wait_for_the_account(
    store: Store, make: Make, clock: Clock
) -> None:
    """K5: the hold is there all the same."""
    task = held(store, clock, begun(store, make()), waits=False)
    assert state(store, task.id, 2) == "scheduled"
    assert task.retry_at == clock() + 5
    assert store.holds.get(ACCOUNT) is not None


def test_what_needs_a_closed_account_waits_and_no_retry_is_used_up(
    store: Store, make: Make, clock: Clock, closed: TaskRow
) -> None:
    """K4, K5: PAUSED with the hold's reason, until the hold's end."""
    task = make()
    refused = start(store, task.id, 1)
    assert isinstance(refused, HoldRow)
    assert fresh(store, task.id).status is S.NEW, "nothing was written"
    assert wait(store, task.id)
    after = fresh(store, task.id)
    assert (after.status, after.auto_retries, after.account) == (S.PAUSED, 0, ACCOUNT)
    assert after.retry_at == clock() + WAIT
    assert after.pause is not None
    assert (after.pause.reason, after.pause.account) == (PauseReason.CREDITS, ACCOUNT)
    assert "is closed since 2026-11-23 12:00Z: no credits" in after.pause.message
    assert state(store, task.id, 1) == "held"


def test_another_account_is_not_concerned(store: Store, make: Make, closed: TaskRow) -> None:
    """K5."""
    assert isinstance(start(store, make().id, 1, "anthropic-2"), TaskRow)
    assert isinstance(start(store, make().id, 1, None), TaskRow)


def test_nobody_is_let_go_before_the_holds_time(
    store: Store, closed: TaskRow, clock: Clock
) -> None:
    """K2, K5."""
    clock.now += WAIT - 1
    assert store.holds.release(ACCOUNT) == []
    assert state(store, closed.id, 2) == "held"


def test_when_the_time_has_come_the_one_that_waited_longest_is_the_probe(
    store: Store, make: Make, clock: Clock, closed: TaskRow
) -> None:
    """K5: one, however often it is asked; the others still wait."""
    others = [make() for _ in range(3)]
    for task in others:
        assert wait(store, task.id)
    clock.now += WAIT
    [probe] = store.holds.release(ACCOUNT)
    assert (probe.task_id, probe.state) == (closed.id, "released")
    assert probe.workflow_id != f"attempt-{closed.id}-2", "what waited before cannot take it"
    assert store.holds.release(ACCOUNT) == []
    assert isinstance(start(store, make().id, 1), HoldRow), "not even a new one"
    assert isinstance(start(store, closed.id, 2), TaskRow)
    assert [state(store, t.id, 1) for t in others] == ["held"] * 3


def test_a_probes_answer_opens_the_account_and_all_go_on(
    store: Store, make: Make, clock: Clock, closed: TaskRow
) -> None:
    """K4, K5: whoever never ran has used up no retry."""
    others = [make() for _ in range(3)]
    for task in others:
        wait(store, task.id)
    clock.now += WAIT
    store.holds.release(ACCOUNT)
    start(store, closed.id, 2)
    assert not store.holds.open(ACCOUNT, (others[0].id, 1)), "only the probe's word counts"
    assert store.holds.open(ACCOUNT, (closed.id, 2))
    assert store.holds.all() == []
    freed = store.holds.release(ACCOUNT)
    assert {row.task_id for row in freed} == {t.id for t in others}
    for row in freed:
        started = start(store, row.task_id, row.attempt)
        assert isinstance(started, TaskRow)
        assert (started.status, started.auto_retries) == (S.IN_PROGRESS, 0)
    assert fresh(store, closed.id).auto_retries == 1
    assert store.holds.release(ACCOUNT) == []


def test_a_refused_probe_prolongs_the_hold_for_all(
    store: Store, make: Make, clock: Clock, closed: TaskRow
) -> None:
    """K5: the next probe is another task."""
    other = make()
    wait(store, other.id)
    clock.now += WAIT
    store.holds.release(ACCOUNT)
    probe = start(store, closed.id, 2)
    assert held(store, clock, probe).retry_at == clock() + WAIT
    hold = store.holds.get(ACCOUNT)
    assert hold is not None
    assert (hold.refusals, hold.probe_task) == (2, None)
    assert fresh(store, other.id).retry_at == clock() + WAIT
    assert fresh(store, other.id).auto_retries == 0
    clock.now += WAIT
    assert [row.task_id for row in store.holds.release(ACCOUNT)] == [other.id]


@pytest.mark.parametrize("how", ["cancelled", "ended", "another account"])
def test_a_probe_without_a_verdict_is_replaced(
    store: Store, make: Make, clock: Clock, closed: TaskRow, how: str
) -> None:
    """K5: no task waits for a probe that is no more."""
    other = make()
    wait(store, other.id)
    clock.now += WAIT
    store.holds.release(ACCOUNT)
    if how == "cancelled":
        store.transitions.apply(closed.id, Event.CANCEL)
    else:
        start(store, closed.id, 2, ACCOUNT if how == "ended" else "anthropic-2")
    if how == "ended":
        store.attempts.move(closed.id, 2, ("starting",), state="ended")
    [probe] = store.holds.release(ACCOUNT)
    assert probe.task_id == other.id


@pytest.mark.parametrize("refused", [False, True])
def test_another_daemon_knows_when_an_account_was_last_tried_early(
    database: sa.Engine, store: Store, make: Make, clock: Clock, refused: bool
) -> None:
    """Q3, L8: also where that probe went on with another account, refused or not."""
    closed = held(store, clock, begun(store, make()), reason="usage_window", wait=90 * HOUR)
    other = make()
    assert wait(store, other.id)
    clock.now += 6 * HOUR
    [probe] = store.holds.release(ACCOUNT, 6 * HOUR)
    assert probe.task_id == closed.id
    looked = clock.now
    if refused:
        task = start(store, closed.id, 2)
        held(store, clock, task, waits=False, reason="usage_window", wait=84 * HOUR)
        start(store, closed.id, 3, "anthropic-2")
    else:
        start(store, closed.id, 2, "anthropic-2")
    later = Store(database, clock)  # as after a restart: nothing that was in memory is left
    clock.now = looked + 6 * HOUR - 1
    assert later.holds.release(ACCOUNT, 6 * HOUR) == []
    clock.now = looked + 6 * HOUR
    assert [row.task_id for row in later.holds.release(ACCOUNT, 6 * HOUR)] == [other.id]


def test_a_hold_that_nobody_waits_for_lets_the_next_task_probe(
    store: Store, make: Make, clock: Clock, closed: TaskRow
) -> None:
    """K5."""
    store.transitions.apply(closed.id, Event.CANCEL)
    clock.now += WAIT
    assert store.holds.release(ACCOUNT) == []
    first, second = make(), make()
    assert not wait(store, first.id), "its time has come: it need not wait"
    assert isinstance(start(store, first.id, 1), TaskRow)
    assert isinstance(start(store, second.id, 1), HoldRow)


def test_what_a_person_asks_for_goes_though_the_account_is_closed(
    store: Store, make: Make, closed: TaskRow
) -> None:
    """K5: as the probe, if none is out, else beside it."""
    other = make()
    wait(store, other.id)
    for task in (closed, other):
        won = store.transitions.resume(task.id, "person")
        assert won is not None
        assert isinstance(start(store, task.id, won[1].attempt), TaskRow)
    hold = store.holds.get(ACCOUNT)
    assert hold is not None
    assert (hold.probe_task, hold.probe_attempt) == (closed.id, 2)
    assert store.attempts.in_states(["held"]) == []


def test_those_who_wait_for_an_account_that_is_open_are_let_go(
    store: Store, make: Make, clock: Clock, closed: TaskRow
) -> None:
    """K1, L8: a crash between opening it and letting them go."""
    clock.now += WAIT
    store.holds.release(ACCOUNT)
    other = make()
    wait(store, other.id)
    start(store, closed.id, 2)
    store.holds.open(ACCOUNT, (closed.id, 2))
    assert store.holds.waiting_accounts() == {ACCOUNT}
    assert [row.task_id for row in store.holds.release(ACCOUNT)] == [other.id]
    assert store.holds.waiting_accounts() == set()


def test_a_claim_is_of_the_account_and_the_agent_that_it_uses(store: Store, make: Make) -> None:
    """K5: with an event where the agent is another one."""
    task = make(agents=["claude", "scripted"])
    assert (task.agents, task.budget) == (["claude", "scripted"], None)
    row = store.claims.start(task.id, 1, f"attempt-{task.id}-1", account=None, agent="scripted")
    assert isinstance(row, TaskRow)
    assert (row.agent, row.agent_binary, row.account) == ("scripted", None, None)
    [told] = [e for e in store.events.after(0) if e.kind == "task.agent_changed"]
    assert told.data == {"attempt": 1, "from": "claude", "to": "scripted"}


# Switches


@pytest.mark.parametrize("scope", ["task", "project", "all"])
def test_switching_off_drops_what_is_scheduled_at_once(
    store: Store, make: Make, clock: Clock, closed: TaskRow, paused: TaskRow, scope: str
) -> None:
    """K7: nothing that waits for a time or an account goes on any more; the pause stays."""

    def off(task: TaskRow) -> int:
        if scope == "task":
            return store.switches.set_for_task(task.id, enabled=False)
        return store.switches.set_for_project("p1" if scope == "project" else None, enabled=False)

    assert off(closed) + (off(paused) if scope == "task" else 0) == 2
    for task in (closed, paused):
        after = fresh(store, task.id)
        assert (after.status, after.retry_at, after.pause) == (S.PAUSED, None, task.pause)
        assert store.switches.off_for(after) == scope
    assert store.attempts.in_states(["held", "scheduled", "released"]) == []
    clock.now += 10 * WAIT
    assert store.holds.release(ACCOUNT) == []
    timer = f"attempt-{paused.id}-2"
    assert store.claims.start(paused.id, 2, timer) is None
    assert store.attempts.schedule(paused.id, 1.0) is None
    off_again = off(closed)
    assert off_again == 0


def test_switching_on_again_lets_a_paused_task_be_scheduled(
    store: Store, clock: Clock, closed: TaskRow, paused: TaskRow
) -> None:
    """K7: at its time, or behind the hold of its account; once."""
    store.switches.set_for_project(None, enabled=False)
    store.switches.set_for_project(None, enabled=True)
    assert store.switches.off_for(paused) is None
    first = store.attempts.schedule(paused.id, clock() + 7)
    second = store.attempts.schedule(closed.id, clock() + 7)
    assert first is not None
    assert second is not None
    assert (first.state, second.state) == ("scheduled", "held")
    hold = store.holds.get(ACCOUNT)
    assert hold is not None
    assert fresh(store, paused.id).retry_at == clock() + 7
    assert fresh(store, closed.id).retry_at == hold.until
    assert store.attempts.schedule(paused.id, 1.0) is None, "it goes on already"


def test_off_anywhere_is_off(store: Store, make: Make) -> None:
    """K7: the widest is named."""
    task = make(auto_resume=False)
    assert store.switches.off_for(task) == "task"
    store.switches.set_for_project("p1", enabled=False)
    assert store.switches.off_for(task) == "project"
    store.switches.set_for_project(None, enabled=False)
    assert store.switches.off_for(task) == "all"
    store.switches.set_for_project(None, enabled=True)
    store.switches.set_for_project("p1", enabled=True)
    store.switches.set_for_task(task.id, enabled=True)
    assert store.switches.off_for(fresh(store, task.id)) is None


def test_a_pause_that_comes_while_it_is_switched_off_schedules_nothing(
    store: Store, clock: Clock, running: TaskRow
) -> None:
    """K7: though the decision was made before the switch."""
    store.switches.set_for_project("p1", enabled=False)
    after = store.transitions.apply(
        running.id, Event.PAUSE, schedule=True, pause=pause(), retry_at=clock() + 60
    )
    assert after is not None
    assert after.retry_at is None
    assert store.attempts.in_states(["scheduled"]) == []


def test_a_timer_that_was_recorded_before_the_switch_does_nothing(
    store: Store, paused: TaskRow
) -> None:
    """K6, K7: also where the schedule outlived the switch."""
    store.switches.set_for_project("p1", enabled=False)
    store.attempts.move(paused.id, 2, ("superseded",), state="scheduled")
    assert start(store, paused.id, 2) is None
    assert state(store, paused.id, 2) == "superseded"
    assert fresh(store, paused.id).status is S.PAUSED


def test_where_it_is_switched_off_a_person_resumes_after_a_closed_account(
    store: Store, make: Make, closed: TaskRow
) -> None:
    """K5, K7."""
    task = make(auto_resume=False)
    assert wait(store, task.id)
    after = fresh(store, task.id)
    assert (after.status, after.retry_at) == (S.PAUSED, None)
    assert after.pause is not None
    assert after.pause.retry_at is None
    assert state(store, task.id, 1) == "ended"
    assert store.transitions.resume(task.id, None) is not None


def test_a_waiting_task_that_is_paused_for_another_reason_keeps_its_time(
    store: Store, paused: TaskRow, clock: Clock, make: Make
) -> None:
    """H1, D10: a timer that finds its account closed waits on; the pause began when it began."""
    other = begun(store, make())
    held(store, clock, other)
    since = paused.paused_at
    clock.now += 100
    assert wait(store, paused.id, 2)
    after = fresh(store, paused.id)
    assert (after.status, after.paused_at) == (S.PAUSED, since)
    hold = store.holds.get(ACCOUNT)
    assert hold is not None
    assert after.retry_at == hold.until
    kinds = [e.kind for e in store.events.after(0, task_id=paused.id)]
    assert kinds.count("task.paused") == 1


def test_a_hold_attempt_of_a_task_that_has_moved_on_changes_nothing(
    store: Store, make: Make, closed: TaskRow
) -> None:
    """K6."""
    task = make()
    store.transitions.apply(task.id, Event.CANCEL)
    before = fresh(store, task.id)
    assert wait(store, task.id)
    assert fresh(store, task.id) == before


def test_of_eight_processes_one_elects_the_probe(url: str) -> None:
    """K5, J1: a hundred rounds, one probe each."""
    engine = open_database(url)
    store, clock = Store(engine), Clock()
    store.projects.register("p1", "/repo")
    for number in range(3):
        task, _ = store.tasks.create(new_task(f"{number:032x}"), frozenset())
        if number == 0:
            held(store, clock, begun(store, task))
        else:
            wait(store, task.id)
    won = contend(url, [ACCOUNT] * 100, elect, unelect)
    engine.dispose()
    assert won == [1] * 100


# Models

OPUS = f"{ACCOUNT}#opus"


def test_a_models_hold_stops_those_who_ask_for_it_and_nobody_else(
    store: Store, make: Make, clock: Clock
) -> None:
    """Q6, K5: it has a probe of its own, and only what it tried opens it."""
    closed = held(store, clock, begun(store, make()), account=OPUS)
    assert closed.account == OPUS
    other, same = make(), make()
    assert isinstance(start(store, other.id, 1), TaskRow)
    row = store.attempts.get(same.id, 1)
    assert row is not None
    refused = store.claims.start(
        same.id, 1, row.workflow_id, account=ACCOUNT, limits=(ACCOUNT, OPUS)
    )
    assert isinstance(refused, HoldRow)
    assert wait(store, same.id, 1, OPUS)
    waiting = fresh(store, same.id)
    assert waiting.pause is not None
    assert (waiting.pause.account, waiting.pause.model) == (ACCOUNT, "opus")
    assert "opus on the account is closed since" in waiting.pause.message
    assert store.holds.count_waiting(OPUS) == 2
    clock.now += WAIT
    [probe] = store.holds.release(OPUS)
    assert store.holds.probed_by((probe.task_id, probe.attempt)) == [Limit(ACCOUNT, "opus")]
    trial = (closed.id, 2)
    assert not store.holds.open(ACCOUNT, trial, ["sonnet"]), "another model's answer"
    assert store.holds.open(ACCOUNT, trial, ["opus"])
    assert [row.task_id for row in store.holds.release(OPUS)] == [same.id]


def test_a_probe_that_asks_for_another_model_leaves_it_to_the_next(
    store: Store, make: Make, clock: Clock
) -> None:
    """Q6: its user changed the model."""
    closed = held(store, clock, begun(store, make()), account=OPUS)
    clock.now += WAIT
    store.holds.release(OPUS)
    assert isinstance(start(store, closed.id, 2), TaskRow)
    hold = store.holds.get(OPUS)
    assert hold is not None
    assert hold.probe_task is None
