"""A journal's records as rows: a step with its retries is one, a pause is a gap, loops hold their
steps."""

from __future__ import annotations

from datetime import timedelta

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.models import PauseReason, StepStatus
from rover_mcp.report.gather_report import waits_of
from rover_mcp.report.report_models import IterationReport, LoopRow, MarkRow, PauseRow, StepRow
from rover_mcp.report.timeline import FIRST_ROWS, MOST_PASSES, MOST_ROWS, timeline, waits_for
from tests.support.journals import RUN
from tests.support.sample_reports import BEGIN, JournalScript, usual_report

T = RecordType
STEPS = [
    {"id": "a", "name": "A", "type": "agent"},
    {"id": "loop", "name": "Loop", "type": "loop", "limit": 9},
    {"id": "b", "name": "B", "type": "command", "parent": "loop"},
]


def _timeline(script: JournalScript, *, running: bool = False) -> IterationReport:
    return timeline(1, script.records, script.at, running=running)


def test_a_step_and_its_pause_are_two_rows_however_often_it_is_tried() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.add(T.STEP_START, 0, step="a")
    script.add(T.WARNING, 10, message="step a failed: no luck; 2 more to try")
    script.pause(PauseReason.CREDITS, "empty", 3600, "a")
    script.step("a", 20)
    script.add(T.WORKFLOW_COMPLETE)

    report = _timeline(script)
    step, pause = report.rows
    assert isinstance(step, StepRow)
    assert isinstance(pause, PauseRow)
    assert [one.why for one in step.tries] == [
        "no luck; 2 more to try", "paused: credits", None,
    ]  # fmt: skip
    assert step.status is StepStatus.COMPLETED
    assert (pause.who, (pause.until or pause.at) - pause.at) == ("Anthropic", timedelta(hours=1))
    assert (report.status, report.steps, report.waited_s) == ("completed", 1, 3600)
    assert report.worked_s == 10 + 1 + 2 + 20


def test_the_steps_of_a_loop_are_in_the_iteration_in_which_they_ran() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.add(T.STEP_START, 0, step="loop")
    for number in (1, 2):
        script.add(T.LOOP_ITERATION, 0, step="loop", iteration=number)
        place = [{"step": "loop", "iteration": number, "index": 0}]
        script.step("b", 5, loop=place, error="1 failed" if number == 1 else None)
    script.add(T.STEP_COMPLETE, 1, step="loop", outputs={})

    [loop] = _timeline(script).rows
    assert isinstance(loop, LoopRow)
    assert [(one.number, len(one.rows)) for one in loop.passes] == [(1, 1), (2, 1)]
    assert [row.status for one in loop.passes for row in one.rows if isinstance(row, StepRow)] == [
        StepStatus.FAILED, StepStatus.COMPLETED,
    ]  # fmt: skip


def test_a_loop_that_is_paused_continues_in_the_same_iteration() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.add(T.STEP_START, 0, step="loop")
    script.add(T.LOOP_ITERATION, 0, step="loop", iteration=1)
    place = [{"step": "loop", "iteration": 1, "index": 0}]
    script.add(T.STEP_START, 1, step="b", loop=place)
    script.pause(PauseReason.REQUESTED, "on request", 60, "b")
    script.step("b", 5, loop=place)
    script.add(T.STEP_COMPLETE, 1, step="loop", outputs={})
    script.add(T.WORKFLOW_COMPLETE)

    [loop] = _timeline(script).rows
    assert isinstance(loop, LoopRow)
    assert loop.status is StepStatus.COMPLETED
    [only] = loop.passes
    step, pause = only.rows
    assert isinstance(step, StepRow)
    assert len(step.tries) == 2
    assert isinstance(pause, PauseRow)
    assert pause.who == "you"


def test_a_run_that_ends_without_a_record_was_interrupted() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.add(T.STEP_START, 0, step="a")
    script.start_again(120)
    script.step("a", 5)

    step, pause = _timeline(script).rows
    assert isinstance(step, StepRow)
    assert isinstance(pause, PauseRow)
    assert (pause.reason, pause.who) == (PauseReason.INTERRUPTED, "the machine")


def test_what_still_runs_lasts_until_now_and_what_stopped_does_not() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.add(T.STEP_START, 0, step="a")
    now = script.at + timedelta(seconds=100)

    running = timeline(1, script.records, now, running=True)
    stopped = timeline(1, script.records, now, running=False)
    assert (running.worked_s, running.rows[0].kind) == (100, "step")
    assert isinstance(running.rows[0], StepRow)
    assert running.rows[0].status is StepStatus.RUNNING
    assert stopped.worked_s == 0
    assert isinstance(stopped.rows[0], StepRow)
    assert stopped.rows[0].status is StepStatus.INTERRUPTED


def test_a_pause_that_lasts_counts_until_now() -> None:
    script = JournalScript()
    script.start(STEPS)
    pause = {
        "reason": "usage_window", "message": "full", "since": BEGIN.isoformat(),
        "provider": "openai",
    }  # fmt: skip
    script.add(T.WORKFLOW_PAUSE, pause=pause)
    now = script.at + timedelta(hours=2)

    report = timeline(1, script.records, now, running=False)
    [wait] = waits_of([report], now)
    assert (wait.who, wait.seconds, wait.times) == ("OpenAI", 7200, 1)
    assert (report.status, report.waited_s) == ("paused", 7200)


def test_a_restart_is_marked_and_its_steps_are_rows_of_their_own() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.step("a", 5)
    script.add(T.WORKFLOW_FAIL, step="a", error="no")
    script.add(T.RUN_START, attempt=2, workflow="w", steps=STEPS, restart=True)
    script.step("a", 5)

    rows = _timeline(script).rows
    assert [row.kind for row in rows] == ["step", "mark", "step"]
    assert isinstance(rows[1], MarkRow)


def test_of_many_rows_and_iterations_the_first_and_the_last_are_kept() -> None:
    script = JournalScript()
    many = [{"id": f"s{n}", "name": f"S{n}", "type": "command"} for n in range(MOST_ROWS + 50)]
    script.start([*many, *STEPS])
    for step in many:
        script.step(str(step["id"]), 1)
    script.add(T.STEP_START, 0, step="loop")
    for number in range(1, MOST_PASSES + 4):
        script.add(T.LOOP_ITERATION, 0, step="loop", iteration=number)

    report = _timeline(script)
    assert (len(report.rows), report.left_out) == (MOST_ROWS, 51)
    first, loop = report.rows[FIRST_ROWS - 1], report.rows[-1]
    assert isinstance(first, StepRow)
    assert first.id == f"s{FIRST_ROWS - 1}"
    assert isinstance(loop, LoopRow)
    assert (len(loop.passes), loop.left_out) == (MOST_PASSES, 3)


def test_a_record_that_makes_no_sense_is_named_and_hides_no_other() -> None:
    script = JournalScript()
    script.start(STEPS)
    script.add(T.WORKFLOW_PAUSE, pause={"reason": "hunger"})
    script.step("a", 5)

    report = _timeline(script)
    assert [row.kind for row in report.rows] == ["step"]
    assert report.damage
    assert "record 2" in report.damage


def test_the_records_of_a_real_run_give_its_steps() -> None:
    records = [Record(n, BEGIN, kind, data) for n, (kind, data) in enumerate(RUN, start=1)]
    plan, loop = timeline(1, records, BEGIN, running=True).rows
    assert isinstance(plan, StepRow)
    assert (plan.agent, plan.usage and plan.usage.cost_usd) == ("claude", 0.5)
    assert isinstance(loop, LoopRow)
    assert [row.kind for row in loop.passes[0].rows] == ["step", "step"]


def test_a_person_a_provider_and_a_machine_are_waited_for() -> None:
    assert waits_for(PauseReason.BUDGET, "anthropic") == "you"
    assert waits_for(PauseReason.RATE_LIMIT, None) == "its provider"
    assert waits_for(PauseReason.INTERRUPTED, "anthropic") == "the machine"


def test_the_usual_report_says_what_was_waited_for() -> None:
    [wait] = usual_report().waits
    assert (wait.who, wait.seconds) == ("Anthropic", 3 * 3600 + 720)
