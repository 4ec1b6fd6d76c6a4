"""Whatever happens to a task, it has a way on."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_runner.models import PauseReason
from rover_mcp.control.decide import NEVER_BY_ITSELF
from rover_mcp.domain.attempt_state import BY_ITSELF, MOVES, AttemptState
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.task_status import RESUMABLE, RUNNING, Event, TaskStatus
from rover_mcp.store.records import AttemptRow, TaskRow
from tests.support.attempts_site import ControlHarness, Run, open_site
from tests.support.samples import TASK, pause

S = TaskStatus
ENDS = [*PauseReason, "completed", "failed", "killed"]
ACTIONS = ["time passes", "resume", "drop", "off", "on", "answer", "crash", "no key", "cancel"]
ROUNDS = st.tuples(st.sampled_from(ENDS), st.sampled_from(["time passes"] * len(ACTIONS) + ACTIONS))
"""How a sandbox ends, if one runs, and what happens then; mostly its time comes."""

TIME = "time passes"


def begin(site: ControlHarness, attempt: int) -> None:
    """What its workflow does until the sandbox runs."""
    if site.claim(attempt):
        site.attempts.launch.bring_up(TASK, attempt)


def settle(site: ControlHarness) -> None:
    """What its workflow does once the sandbox has ended."""
    attempt = site.task().attempt
    site.attempts.finish.settle(TASK, attempt, site.attempts.wait.follow(TASK, attempt))
    for row in site.attempts.waiting.release_due():
        begin(site, row.attempt)


def ends(site: ControlHarness, how: str) -> None:
    """The sandbox that runs ends so."""
    task = site.task()
    attempt = task.attempt
    head = Run.begin(1) if not site.folders.journal.exists() else Run.resume(attempt)
    last = {"completed": Run.COMPLETE, "failed": Run.fail("the tests fail")}
    records = [head, Run.start("plan")]
    if how in last:
        records.append(last[how])
    elif how != "killed":
        records.append(Run.pause(pause(PauseReason(how))))
    site.record(*records)
    code = {"completed": 0, "failed": 1, "killed": None}.get(how, 2)
    site.world.end(sandbox_name(TASK, attempt), code)
    settle(site)


def time_passes(site: ControlHarness) -> None:
    """The next timer fires: the task's own, or its account's."""
    with site.store.database.engine.begin() as connection:
        past = time.time() - 1
        connection.exec_driver_sql("UPDATE rover_holds SET until = ?", (past,))
        connection.exec_driver_sql(
            "UPDATE rover_tasks SET retry_at = ? WHERE retry_at > 0", (past,)
        )
    freed = site.attempts.waiting.release_due()
    waiting = site.store.attempts.in_states(["scheduled"])
    for row in [*freed, *waiting]:
        begin(site, row.attempt)


def act(site: ControlHarness, action: str) -> None:
    task = site.task()
    match action:
        case "time passes":
            time_passes(site)
        case "resume":
            won = site.store.transitions.resume(TASK, "person")
            if won is not None:
                begin(site, won[1].attempt)
        case "drop":
            site.store.attempts.drop_schedule(TASK)
        case "cancel":
            site.store.transitions.apply(TASK, Event.CANCEL)
            settle(site)
        case "off":
            site.store.switches.set_for_project(None, enabled=False)
        case "on":
            site.store.switches.set_for_project(None, enabled=True)
            site.attempts.waiting.schedule(site.task())
        case "answer":
            site.attempts.waiting.answered(TASK, task.attempt, None)
        case "crash":
            label = site.door.label
            site.restart()
            site.door.label = label
        case _:
            site.door.missing = None if site.door.missing else "set a key"


def has_a_way_on(site: ControlHarness) -> None:
    task = site.task()
    waiting = site.store.attempts.in_states(BY_ITSELF)
    if task.status in RUNNING:
        assert site.attempt(task.attempt).state in ("starting", "running")
        assert waiting == []
        return
    if task.status is not S.PAUSED:
        assert task.status in (S.COMPLETED, S.FAILED, S.CANCELLED)
        assert waiting == []
        return
    assert_paused(site, task, waiting)


def assert_paused(site: ControlHarness, task: TaskRow, waiting: list[AttemptRow]) -> None:
    assert task.pause is not None
    assert task.paused_at is not None
    assert site.folders.journal.exists() or task.pause.reason is PauseReason.AUTH
    if task.retry_at is None:
        states = {row.state for row in waiting}
        assert states <= {AttemptState.AWAITING}, "it waits for a person, or for a credential"
        assert not states or task.pause.reason is PauseReason.AUTH
        return
    assert task.pause.reason not in NEVER_BY_ITSELF
    [row] = waiting
    lives(site, row)


def lives(site: ControlHarness, row: AttemptRow) -> None:
    """What it waits for will come: its time, or its account's timer."""
    if row.state == "held":
        hold = site.store.holds.get(str(site.task().account))
        assert hold is not None
        assert hold.until > 0
        assert hold.probe_task is None


def refuse_other_moves(site: ControlHarness) -> None:
    """Let the database refuse every move of an attempt that is not in the table."""
    known = ", ".join(
        f"('{before}', '{after}')" for before in MOVES for after in (before, *MOVES[before])
    )
    with site.store.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER moves BEFORE UPDATE OF state ON rover_attempts "
            f"WHEN (OLD.state, NEW.state) NOT IN (VALUES {known}) "
            "BEGIN SELECT RAISE(ABORT, 'the table of attempt states has no such move'); END"
        )


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@example([("credits", TIME)] * 7, False)
@example([("transient", TIME)] * 7, False)
@example([("credits", TIME)] * 4, True)
@example([("transient", "drop"), ("transient", "on"), ("transient", "cancel")], False)
@given(st.lists(ROUNDS, max_size=8), st.booleans())
def test_after_whatever_happened_a_task_runs_or_waits_or_can_be_resumed(
    history: list[tuple[str, str]], two_agents: bool
) -> None:
    """C9, K1, K3, K5, K7: no pause is lost, no more retries are made than are allowed, and what
    waits has a timer that lives."""
    with tempfile.TemporaryDirectory() as folder, open_site(Path(folder)) as site:
        site.door.label = "anthropic-1"
        refuse_other_moves(site)
        site.create(agents=["claude", "scripted"] if two_agents else None)
        begin(site, 1)
        has_a_way_on(site)
        for end, action in history:
            if site.task().status in RUNNING:
                ends(site, end)
                has_a_way_on(site)
            act(site, action)
            has_a_way_on(site)
        if site.task().status in RESUMABLE:
            site.door.missing = None
            won = site.store.transitions.resume(TASK, "person")
            assert won is not None, "a person can always go on"
            begin(site, won[1].attempt)
            assert site.task().status in RUNNING
