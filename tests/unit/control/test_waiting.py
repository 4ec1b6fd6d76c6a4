"""Attempts and the accounts that they use: holds, probes, other agents, budgets, switches."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from agent_runner.journal.journal import Journal, RecordType
from agent_runner.models import Budget, Grounds, Pause, PauseReason, Usage
from rover_mcp.config.settings import RetrySettings
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import CallRow, HoldRow, TaskRow
from tests.support.attempts_site import ControlHarness, Run
from tests.support.samples import TASK, pause

S = TaskStatus
R = PauseReason
ACCOUNT = "anthropic-1"
OTHER = "f" * 32
CLOSED = [R.CREDITS, R.USAGE_WINDOW, R.RATE_LIMIT]


@pytest.fixture
def site(site: ControlHarness) -> ControlHarness:
    """All of its tasks use one account."""
    site.door.label = ACCOUNT
    return site


def hold_of(site: ControlHarness) -> HoldRow:
    hold = site.store.holds.get(ACCOUNT)
    assert hold is not None
    return hold


def the_hold_is_over(site: ControlHarness) -> None:
    hold = hold_of(site)
    with site.store.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE rover_holds SET until = ? WHERE account = ?", (time.time() - 1, hold.account)
        )


def probed(site: ControlHarness, reason: PauseReason = R.CREDITS) -> int:
    """TASK was refused, and is now the probe; the number of its attempt, which runs."""
    site.paused(pause(reason))
    the_hold_is_over(site)
    [row] = site.attempts.waiting.release_due()
    assert site.claim(row.attempt)
    assert site.attempts.launch.bring_up(TASK, row.attempt)
    return row.attempt


def refused_again(site: ControlHarness, attempt: int, **changes: object) -> TaskRow:
    told = pause(**changes)  # pyright: ignore[reportArgumentType]
    site.record(Run.resume(attempt), Run.start("plan"), Run.pause(told))
    site.settle(2, attempt)
    return site.task()


def waiting(site: ControlHarness) -> TaskRow:
    """Another task, which waits for the account."""
    site.create(OTHER)
    row = site.store.attempts.get(OTHER, 1)
    assert row is not None
    assert not site.attempts.launch.claim(OTHER, 1, row.workflow_id)
    return site.task(OTHER)


@pytest.mark.parametrize("reason", CLOSED)
def test_a_refusal_holds_its_account_and_the_pause_names_it(
    site: ControlHarness, reason: PauseReason
) -> None:
    """D1, K5: it waits for the account, not for a time of its own."""
    task = site.paused(pause(reason))
    hold = hold_of(site)
    assert (hold.reason, hold.message, hold.refusals) == (reason, "credit balance is too low", 1)
    assert task.pause is not None
    assert task.pause.account == ACCOUNT
    assert task.retry_at == hold.until
    assert site.attempt(2).state == "held"
    assert site.attempts.finish.scheduled(TASK) is None


@pytest.mark.parametrize("reason", sorted(set(R) - set(CLOSED)))
def test_any_other_pause_holds_no_account(site: ControlHarness, reason: PauseReason) -> None:
    """K5."""
    task = site.paused(pause(reason))
    assert site.store.holds.all() == []
    assert task.pause is not None
    of_an_account = reason in (R.TRANSIENT, R.AUTH)
    assert task.pause.account == (ACCOUNT if of_an_account else None)


def test_the_providers_time_is_the_holds(site: ControlHarness) -> None:
    """K2: and our own guess of one is never taken for it."""
    reset = datetime.now(UTC) + timedelta(hours=9)
    site.paused(pause(R.USAGE_WINDOW, retry_at=reset))
    assert hold_of(site).until == reset.timestamp()


def test_an_account_that_refuses_is_not_tried_by_another_task(site: ControlHarness) -> None:
    """K4, K5: it pauses with the hold's reason, without a sandbox and without using up a retry."""
    site.paused(pause())
    task = waiting(site)
    assert (task.status, task.auto_retries, task.retry_at) == (S.PAUSED, 0, hold_of(site).until)
    assert site.world.starts == [sandbox_name(TASK, 1)]
    assert OTHER not in site.door.served


def test_a_refused_probe_prolongs_the_hold_and_only_its_retry_counts(site: ControlHarness) -> None:
    """K3, K5."""
    attempt = probed(site)
    waiting(site)
    task = refused_again(site, attempt)
    hold = hold_of(site)
    assert (hold.refusals, hold.probe_task) == (2, None)
    assert hold.until == pytest.approx(time.time() + 1800, abs=30)
    assert (task.auto_retries, site.task(OTHER).auto_retries) == (1, 0)
    assert site.task(OTHER).retry_at == hold.until
    the_hold_is_over(site)
    assert [row.task_id for row in site.attempts.waiting.release_due()] == [OTHER], (
        "another goes first now"
    )


@pytest.mark.parametrize("how", ["completes", "answered", "model"])
def test_a_probe_that_is_not_refused_opens_the_account(site: ControlHarness, how: str) -> None:
    """K5: its model's first answer is enough; so is its end, if the answer was not seen."""
    attempt = probed(site)
    waiting(site)
    if how == "answered":
        assert site.attempts.waiting.answered(TASK, attempt, None)
    elif how == "completes":
        site.record(Run.resume(attempt), Run.start("plan"), Run.COMPLETE)
        site.settle(0, attempt)
    else:
        used = Usage(output_tokens=9).model_dump(mode="json")
        said = RecordType.USAGE, {"step": "plan", "usage": used}
        site.record(Run.resume(attempt), Run.start("plan"), said, Run.pause(pause(R.TRANSIENT)))
        site.settle(2, attempt)
    assert site.store.holds.all() == []
    [row] = site.attempts.waiting.release_due()
    assert row.task_id == OTHER
    assert site.attempts.launch.claim(OTHER, row.attempt, row.workflow_id)
    assert site.task(OTHER).auto_retries == 0


def test_an_answer_to_another_task_opens_nothing(site: ControlHarness) -> None:
    """K5: a call that was under way when the account closed says nothing of it now."""
    site.create(OTHER)
    row = site.store.attempts.get(OTHER, 1)
    assert row is not None
    assert site.attempts.launch.claim(OTHER, 1, row.workflow_id)
    site.paused(pause())
    assert not site.attempts.waiting.answered(OTHER, 1, None)
    assert not site.attempts.waiting.answered("e" * 32, 1, None)
    assert hold_of(site).refusals == 1


@pytest.mark.parametrize("reason", [R.INTERRUPTED, R.TRANSIENT, R.REQUESTED])
def test_a_probe_that_ends_without_a_verdict_leaves_it_to_the_next(
    site: ControlHarness, reason: PauseReason
) -> None:
    """K5: at once."""
    attempt = probed(site)
    waiting(site)
    assert site.attempts.waiting.release_due() == []
    refused_again(site, attempt, reason=reason)
    [row] = site.attempts.waiting.release_due()
    assert row.task_id == OTHER
    assert (hold_of(site).refusals, hold_of(site).probe_task) == (1, OTHER)


def test_a_probe_without_a_credential_leaves_it_to_the_next(site: ControlHarness) -> None:
    """D9, K5."""
    site.paused(pause())
    waiting(site)
    the_hold_is_over(site)
    site.attempts.waiting.release_due()
    site.door.missing = "set a key"
    assert not site.claim(2)
    assert [row.task_id for row in site.attempts.waiting.release_due()] == [OTHER]


def test_an_account_that_never_opens_is_tried_again_without_an_end(site: ControlHarness) -> None:
    """K3, Q3: money ends it, and nobody has to be awake for that; at the longest wait."""
    attempt = probed(site)
    for _ in range(7):
        task = refused_again(site, attempt)
        assert task.retry_at is not None
        attempt = task.attempt + 1
        the_hold_is_over(site)
        [row] = site.attempts.waiting.release_due()
        assert row.attempt == attempt
        assert site.claim(attempt)
        assert site.attempts.launch.bring_up(TASK, attempt)
    task = refused_again(site, attempt)
    assert task.retry_at == pytest.approx(time.time() + 6 * 3600, abs=30)
    assert [d["exhausted"] for d in site.data(Event.PAUSE)] == [False] * 9


def test_a_delay_that_an_account_repeats_in_vain_grows(site: ControlHarness) -> None:
    """Q3: else one sandbox would follow the other all night."""
    waits: list[float] = []
    attempt = probed(site, R.RATE_LIMIT)
    for _ in range(4):
        soon = datetime.now(UTC) + timedelta(seconds=7)
        attempt = refused_again(site, attempt, reason=R.RATE_LIMIT, retry_at=soon).attempt + 1
        waits.append(60 * round((hold_of(site).until - time.time()) / 60))
        the_hold_is_over(site)
        site.attempts.waiting.release_due()
        assert site.claim(attempt)
        assert site.attempts.launch.bring_up(TASK, attempt)
    assert waits == [60, 120, 240, 480]


# Early openings


def asked_last(site: ControlHarness, ago: float) -> None:
    """Nobody has asked the account for so many seconds."""
    then = time.time() - ago
    with site.store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE rover_holds SET since = ?", (then,))
        connection.exec_driver_sql("UPDATE rover_attempts SET started_at = ?", (then,))


@pytest.mark.parametrize(
    ("reason", "ago", "looks"),
    [
        (R.USAGE_WINDOW, 6.1, True),
        (R.CREDITS, 6.1, True),
        (R.USAGE_WINDOW, 5.9, False),
        (R.RATE_LIMIT, 24, False),
    ],
)
def test_a_window_that_may_open_early_is_tried_now_and_then_by_one_task(
    site: ControlHarness, reason: PauseReason, ago: float, looks: bool
) -> None:
    """Q3: its provider said four days."""
    site.paused(pause(reason, retry_at=datetime.now(UTC) + timedelta(days=4)))
    waiting(site)
    until = hold_of(site).until
    asked_last(site, ago * 3600)
    found = site.attempts.waiting.release_due()
    assert [row.task_id for row in found] == ([TASK] if looks else [])
    assert hold_of(site).probe_task == (TASK if looks else None)
    if not looks:
        return
    assert site.attempts.waiting.release_due() == [], "one is enough"
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    told = datetime.fromtimestamp(until, UTC)
    refused_again(site, 2, reason=reason, retry_at=told)
    assert hold_of(site).until == until
    assert site.attempts.waiting.release_due() == [], "the next in six hours"
    assert site.task(OTHER).auto_retries == 0


def test_a_window_that_opened_early_lets_everybody_go(site: ControlHarness) -> None:
    """Q3."""
    site.paused(pause(R.USAGE_WINDOW, retry_at=datetime.now(UTC) + timedelta(days=4)))
    waiting(site)
    asked_last(site, 7 * 3600)
    site.attempts.waiting.release_due()
    assert site.claim(2)
    assert site.attempts.waiting.answered(TASK, 2, None)
    assert [row.task_id for row in site.attempts.waiting.release_due()] == [OTHER]


def test_looking_early_can_be_switched_off(site: ControlHarness) -> None:
    """Q3, A4."""
    site.restart(retry=RetrySettings(look_again=0))
    site.paused(pause(R.USAGE_WINDOW, retry_at=datetime.now(UTC) + timedelta(days=4)))
    asked_last(site, 90 * 3600)
    assert site.attempts.waiting.release_due() == []


def gave_up(site: ControlHarness, *, ago: float) -> TaskRow:
    """TASK waits for a person since so many seconds; its account's trouble was a passing one."""
    site.paused(pause(R.TRANSIENT))
    site.store.attempts.drop_schedule(TASK)
    site.store.tasks.update(TASK, paused_at=time.time() - ago, auto_retries=5)
    return site.task()


def another_is_answered(site: ControlHarness) -> None:
    site.create(OTHER)
    row = site.store.attempts.get(OTHER, 1)
    assert row is not None
    assert site.attempts.launch.claim(OTHER, 1, row.workflow_id)
    call = CallRow(OTHER, "c", 1, time.time(), "anthropic", "m", 1, 1, 7, 0, 0, None)
    site.store.usage.write([call])


def test_an_account_that_answers_wakes_tasks_without_tries_left(site: ControlHarness) -> None:
    """K3."""
    gave_up(site, ago=3700)
    assert site.attempts.waiting.release_due() == []
    another_is_answered(site)
    [row] = site.attempts.waiting.release_due()
    assert (row.task_id, row.state) == (TASK, "scheduled")
    assert site.attempts.waiting.release_due() == [], "once"
    assert site.claim(row.attempt)


@pytest.mark.parametrize("why", ["just now", "off", "another account", "a person's"])
def test_a_task_that_had_given_up_sleeps_on(site: ControlHarness, why: str) -> None:
    """K3, K7, D9: no more often than at the longest wait."""
    gave_up(site, ago=60 if why == "just now" else 3700)
    if why == "off":
        site.store.switches.set_for_task(TASK, enabled=False)
    if why == "a person's":
        site.store.tasks.update(TASK, pause=pause(R.AUTH))
    if why == "another account":
        site.store.tasks.update(TASK, account="anthropic-2")
    another_is_answered(site)
    assert site.attempts.waiting.release_due() == []


# Crashes


@pytest.mark.parametrize("writes", range(4))
def test_a_refused_probe_ends_the_same_after_a_crash_at_any_write(
    site: ControlHarness, writes: int
) -> None:
    """K5, L8: one more attempt waits, and somebody is the next probe."""
    attempt = probed(site)
    waiting(site)
    site.record(Run.resume(attempt), Run.start("plan"), Run.pause(pause()))
    site.world.end(sandbox_name(TASK, attempt), 2)
    ended = site.attempts.wait.follow(TASK, attempt)
    site.crash(writes, lambda: site.attempts.finish.settle(TASK, attempt, ended))
    site.door.label = ACCOUNT
    site.attempts.finish.settle(TASK, attempt, ended)
    assert site.attempt(attempt).state == "ended"
    assert sorted(a.task_id for a in site.store.attempts.in_states(["held"])) == [TASK, OTHER]
    assert hold_of(site).refusals == 2
    the_hold_is_over(site)
    assert len(site.attempts.waiting.release_due()) == 1


# What rests on words


def settled(site: ControlHarness, task_id: str, told: Pause) -> TaskRow:
    """Another task, paused by its runner in its first attempt."""
    site.create(task_id)
    row = site.store.attempts.get(task_id, 1)
    assert row is not None
    assert site.attempts.launch.claim(task_id, 1, row.workflow_id)
    assert site.attempts.launch.bring_up(task_id, 1)
    folders = TaskFolders(site.home, task_id, 1)
    journal = Journal.open(folders.journal, lambda: datetime.now(UTC), sync=lambda _: None)
    for kind, data in (Run.begin(1), Run.start("plan"), Run.pause(told)):
        journal.append(kind, data)
    journal.close()
    site.world.end(sandbox_name(task_id, 1), 2)
    site.attempts.finish.settle(task_id, 1, site.attempts.wait.follow(task_id, 1))
    return site.task(task_id)


@pytest.mark.parametrize("reason", CLOSED)
@pytest.mark.parametrize("grounds", [Grounds.WORDS, Grounds.AGENT])
def test_what_one_task_says_closes_its_account_to_nobody_else(
    site: ControlHarness, reason: PauseReason, grounds: Grounds
) -> None:
    """U6. Succeeded at 700cc57: all tasks of the account waited, for 25 days."""
    far = datetime.now(UTC) + timedelta(days=25)
    told = pause(reason, grounds=grounds, retry_at=far, retry_grounds=grounds)
    task = site.paused(told)
    assert site.store.holds.all() == []
    assert (task.status, site.attempt(2).state) == (S.PAUSED, "scheduled")
    assert task.retry_at == pytest.approx(far.timestamp(), abs=30)
    site.create(OTHER)
    row = site.store.attempts.get(OTHER, 1)
    assert row is not None
    assert site.attempts.launch.claim(OTHER, 1, row.workflow_id)


@pytest.mark.parametrize("grounds", [Grounds.WORDS, Grounds.AGENT])
def test_a_second_task_whose_answer_says_the_same_closes_the_account(
    site: ControlHarness, grounds: Grounds
) -> None:
    """U6: if the gateway saw both; for no longer than the longest backoff. The task itself waits
    for the time that it was told, and is not refused each six hours until then."""
    far = datetime.now(UTC) + timedelta(days=25)
    told = pause(grounds=grounds, retry_at=far, retry_grounds=grounds)
    site.paused(told)
    task = settled(site, OTHER, told)
    if grounds is Grounds.AGENT:
        assert site.store.holds.all() == []
        return
    hold = hold_of(site)
    assert hold.until == pytest.approx(time.time() + 6 * 3600, abs=30)
    assert task.retry_at == pytest.approx(far.timestamp(), abs=30)
    row = site.store.attempts.get(OTHER, 2)
    assert row is not None
    assert row.state == "scheduled"


def test_an_account_that_has_answered_since_is_not_closed_by_words(site: ControlHarness) -> None:
    """U6: whoever it answered."""
    told = pause(grounds=Grounds.WORDS)
    site.paused(told)
    call = CallRow(TASK, "c", 2, time.time() + 1, "anthropic", "m", 1, 1, 1, 0, 0, None)
    site.store.usage.write([call])
    settled(site, OTHER, told)
    assert site.store.holds.all() == []


def test_the_same_task_confirms_nothing_not_even_as_the_probe(site: ControlHarness) -> None:
    """U6: the hold that the provider asked for is not prolonged on words."""
    attempt = probed(site)
    waiting(site)
    before = hold_of(site)
    far = datetime.now(UTC) + timedelta(days=25)
    words = Grounds.WORDS
    refused_again(site, attempt, grounds=words, retry_at=far, retry_grounds=words)
    assert hold_of(site) == before
    assert [row.task_id for row in site.attempts.waiting.release_due()] == [OTHER], (
        "another goes first now"
    )


def test_another_agent_takes_over_if_an_account_is_closed_to_one_task(site: ControlHarness) -> None:
    """U6, K5: and does not begin anew with the first."""
    site.paused(pause(grounds=Grounds.AGENT), agents=["claude", "scripted"])
    assert site.store.holds.all() == []
    assert site.claim(2)
    assert site.task().agent == "scripted"


def test_a_task_refused_by_two_accounts_waits_for_the_first_to_open(site: ControlHarness) -> None:
    """Q6, U6: each told it a time that concerns nobody else. It went back and forth between the two
    at once, again and again."""
    site.door.label, site.door.more = "anthropic-1", ("anthropic-2",)
    hours = {n: datetime.now(UTC) + timedelta(hours=n) for n in (2, 5)}
    said = {"grounds": Grounds.WORDS, "retry_grounds": Grounds.WORDS}
    site.paused(pause(PauseReason.USAGE_WINDOW, retry_at=hours[2], **said))
    assert site.task().retry_at == pytest.approx(time.time(), abs=60), "the second takes over"
    site.due()
    assert site.claim(2)
    assert site.task().account == "anthropic-2"
    assert site.attempts.launch.bring_up(TASK, 2)
    site.record(Run.resume(2), Run.start("plan"))
    site.record(Run.pause(pause(PauseReason.USAGE_WINDOW, retry_at=hours[5], **said)))
    site.settle(2, attempt=2)
    assert site.task().retry_at == pytest.approx(hours[2].timestamp(), abs=60)
    assert site.store.holds.all() == []


def test_what_a_task_reported_is_forgotten_with_it(site: ControlHarness) -> None:
    site.paused(pause(grounds=Grounds.WORDS))
    assert [r.task_id for r in site.store.holds.reports(TASK)] == [TASK]
    assert site.store.transitions.apply(TASK, Event.CANCEL)
    site.store.tasks.delete(TASK)
    assert site.store.holds.reports(TASK) == []


# Several agents


def test_another_agent_goes_on_at_once_where_the_user_named_it(site: ControlHarness) -> None:
    """K5: with an event; the account is held all the same."""
    before = time.time()
    task = site.paused(pause(), agents=["claude", "scripted"])
    assert task.retry_at == pytest.approx(before, abs=30)
    assert site.attempts.finish.scheduled(TASK) == 2
    assert hold_of(site).refusals == 1
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    task = site.task()
    assert (task.agent, task.account, task.auto_retries) == ("scripted", None, 1)
    [changed] = site.data("task.agent_changed")
    assert (changed["from"], changed["to"]) == ("claude", "scripted")
    run = site.world.sandboxes[sandbox_name(TASK, 2)].spec.run
    assert (run.agent, run.model) == ("scripted", None)


def test_the_first_agent_is_used_again_once_its_account_is_open(site: ControlHarness) -> None:
    """K5."""
    site.paused(pause(), agents=["claude", "scripted"])
    site.claim(2)
    site.attempts.launch.bring_up(TASK, 2)
    site.store.holds.open(ACCOUNT, (TASK, 2))
    the_hold_is_over(site)
    site.record(Run.resume(2), Run.start("plan"), Run.pause(pause(R.TRANSIENT)))
    site.settle(2, 2)
    assert site.claim(3)
    assert site.task().agent == "claude"
    assert hold_of(site).probe_attempt == 3


def test_authentication_is_never_mended_by_another_agent(site: ControlHarness) -> None:
    """D9."""
    task = site.paused(pause(R.AUTH), agents=["claude", "scripted"])
    assert (task.retry_at, site.attempts.finish.scheduled(TASK)) == (None, None)


def test_an_agent_of_ones_own_choice_only_waits(site: ControlHarness) -> None:
    """K5: nobody was named to take over."""
    site.paused(pause())
    assert site.attempts.finish.scheduled(TASK) is None
    assert site.task().agent == "claude"


# Budget and switches


def test_a_sandbox_is_told_its_budget(site: ControlHarness) -> None:
    """D8, K7: the runner pauses before the next step; nobody resumes automatically then."""
    site.started(budget=Budget(usd=2.5))
    run = site.world.sandboxes[sandbox_name(TASK, 1)].spec.run
    assert run.budget == Budget(usd=2.5)
    site.record(Run.begin(1), Run.start("plan"), Run.pause(pause(R.BUDGET)))
    site.settle(2)
    assert (site.task().status, site.task().retry_at) == (S.PAUSED, None)


@pytest.mark.parametrize("scope", ["task", "project", "all", "config"])
def test_where_automatic_resumes_are_off_a_pause_waits_for_a_person(
    site: ControlHarness, scope: str
) -> None:
    """K7: the hold is there all the same, for those who go on."""
    site.started()
    if scope == "task":
        site.store.switches.set_for_task(TASK, enabled=False)
    elif scope == "config":
        site.restart(auto_resume=False)
    else:
        site.store.switches.set_for_project("p1" if scope == "project" else None, enabled=False)
    site.door.label = ACCOUNT
    site.record(Run.begin(1), Run.start("plan"), Run.pause(pause()))
    site.settle(2)
    assert (site.task().status, site.task().retry_at) == (S.PAUSED, None)
    assert site.store.attempts.in_states(["held", "scheduled"]) == []
    assert hold_of(site).refusals == 1
    assert site.attempts.waiting.schedule(site.task()) is None


@pytest.mark.parametrize(
    ("reason", "state"),
    [(R.CREDITS, "held"), (R.TRANSIENT, "scheduled"), (R.AUTH, "awaiting"), (R.REQUESTED, None)],
)
def test_switched_on_again_a_task_goes_on_if_its_reason_permits(
    site: ControlHarness, reason: PauseReason, state: str | None
) -> None:
    """K7, D9."""
    site.paused(pause(reason))
    site.store.switches.set_for_project(None, enabled=False)
    site.store.switches.set_for_project(None, enabled=True)
    made = site.attempts.waiting.schedule(site.task())
    assert (made.state if made else None) == state
    assert (site.task().retry_at is not None) == (state in ("held", "scheduled"))
    assert site.attempts.waiting.schedule(site.task()) is None, "it goes on already"


def test_progress_in_a_loop_starts_the_count_of_retries_anew(site: ControlHarness) -> None:
    """K4: the same step ended again."""
    site.restart(retry=RetrySettings(jitter=0))
    site.started()
    site.record(Run.begin(1), Run.start("plan"), Run.done("plan"), Run.pause(pause(R.TRANSIENT)))
    site.settle(2)
    site.claim(2)
    site.attempts.launch.bring_up(TASK, 2)
    assert site.task().auto_retries == 1
    site.record(Run.resume(2), Run.start("plan"), Run.done("plan"), Run.pause(pause(R.TRANSIENT)))
    site.settle(2, 2)
    assert site.task().auto_retries == 0
