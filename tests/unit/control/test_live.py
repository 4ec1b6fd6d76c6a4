"""What running tasks do now, as their journals tell it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from agent_runner.journal import record_lines
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.record_lines import RecordType
from agent_runner.models import RunStatus
from rover_mcp.control.checkpoint import journal_snapshots
from rover_mcp.control.journal_watch import JournalWatch
from tests.support.attempts_site import ControlHarness, Run
from tests.support.samples import NOW, TASK, pause, snapshot


def told(site: ControlHarness) -> list[tuple[int, str, str]]:
    return [(d["attempt"], d["step"], d["step_status"]) for d in site.data("task.step")]


def test_every_step_is_told_once_as_it_begins_and_ends(site: ControlHarness) -> None:
    """The event has the step's place and the progress."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"))
    site.live.refresh(TASK)
    site.record(Run.done("plan"), Run.start("code"))
    site.live.refresh(TASK)
    state = site.live.refresh(TASK)
    assert state is not None
    assert state == site.live.state(TASK)
    assert told(site) == [(1, "plan", "running"), (1, "plan", "completed"), (1, "code", "running")]
    last = site.data("task.step")[-1]
    assert (last["position"], last["of"], last["progress"]) == (2, 2, 50)


def test_a_new_daemon_tells_no_step_again(site: ControlHarness) -> None:
    """K1: only what is new."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"), Run.done("plan"))
    site.live.refresh(TASK)
    site.restart()
    assert site.live.state(TASK) is None
    site.record(Run.start("code"))
    site.live.refresh(TASK)
    assert told(site) == [(1, "plan", "completed"), (1, "code", "running")]


def test_the_next_attempt_tells_no_finished_step_again(site: ControlHarness) -> None:
    """F1, I7: the journal of the earlier attempt is not news; a step that runs again is."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"), Run.done("plan"), Run.start("code"))
    site.record(Run.pause(pause()))
    site.settle(2)
    site.live.refresh(TASK)
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    before = told(site)
    assert before == [(1, "plan", "completed"), (1, "code", "running")]
    site.live.refresh(TASK)
    assert told(site) == before
    site.record(Run.begin(2), Run.resume(2, 1), Run.start("code"))
    site.live.refresh(TASK)
    site.live.refresh(TASK)
    assert told(site) == [*before, (2, "code", "running")]


def test_the_last_steps_are_told_before_the_end(site: ControlHarness) -> None:
    """D10: the runner may end without having rung."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"), Run.done("plan"), Run.COMPLETE)
    site.settle(0)
    kinds = site.kinds("task.step", "task.completed")
    assert kinds == ["task.step", "task.completed"]
    assert site.live.state(TASK) is None


def cut(site: ControlHarness) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes()[:-9])


def garble(site: ControlHarness) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes().replace(b"plan", b"plot", 1))


def outgrow(site: ControlHarness) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes().replace(b'"v":2', b'"v":99'))


def replace_by_folder(site: ControlHarness) -> None:
    site.folders.journal.unlink()
    site.folders.journal.mkdir()


def malform(site: ControlHarness) -> None:
    site.record(Run.start("no such step"))


@pytest.mark.parametrize("harm", [garble, outgrow, replace_by_folder, malform])
def test_a_damaged_journal_keeps_the_last_state_that_was_read(
    site: ControlHarness, harm: Callable[[ControlHarness], None]
) -> None:
    """C2, L6: it is judged where the attempt is settled; nothing else suffers."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"))
    good = site.live.refresh(TASK)
    assert good is not None
    harm(site)
    assert site.live.refresh(TASK) == good
    assert site.live.state(TASK) == good
    assert journal_snapshots(site.folders.journal) == []
    site.restart()
    assert site.live.refresh(TASK) is None
    assert told(site) == [(1, "plan", "running")]


def test_a_torn_tail_is_not_told_yet(site: ControlHarness) -> None:
    """C1: the record may just be being written."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"), Run.done("plan"))
    cut(site)
    site.live.refresh(TASK)
    assert told(site) == [(1, "plan", "running")]


def test_a_task_without_a_journal_is_new_and_an_unknown_one_is_nothing(
    site: ControlHarness,
) -> None:
    site.started()
    state = site.live.refresh(TASK)
    assert state is not None
    assert state.status is RunStatus.NEW
    assert site.live.refresh("f" * 32) is None
    assert told(site) == []


def test_snapshots_are_read_in_order_each_once(site: ControlHarness) -> None:
    """C10: the hub takes them oldest first."""
    site.started()
    site.record(Run.begin(1), Run.done("plan", snapshot(2)), Run.done("code", snapshot(1)))
    site.record(Run.done("code", snapshot(2)))
    assert [s.sequence for s in journal_snapshots(site.folders.journal)] == [1, 2]
    last = site.attempts.finish.import_snapshots(site.task())
    assert last is not None
    assert (last.sequence, site.hub.imported) == (2, [1, 2])


def test_no_journal_names_no_snapshot(site: ControlHarness) -> None:
    site.started()
    assert journal_snapshots(site.folders.journal) == []
    assert site.attempts.finish.import_snapshots(site.task()) is None


def around(turns: int, first: int = 1) -> list[tuple[RecordType, Mapping[str, object]]]:
    """A step that is run again and again."""
    return [r for _ in range(first, first + turns) for r in (Run.start("plan"), Run.done("plan"))]


def test_a_ring_reads_only_what_is_new(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C8: however much was written before."""
    parsed: list[int] = []
    real = record_lines.parse
    monkeypatch.setattr(
        "agent_runner.journal.journal_reader.parse", lambda *a: (parsed.append(1), real(*a))[1]
    )
    site.started()
    site.record(Run.begin(1), *around(100))
    site.live.refresh(TASK)
    assert len(parsed) >= 201
    parsed.clear()
    site.live.refresh(TASK)
    assert parsed == []
    with site.folders.journal.open("ab") as journal:
        chain = read_journal(site.folders.journal).chain
        parsed.clear()
        journal.write(record_lines.encode(chain, NOW, *Run.start("code"))[0])
    state = site.live.refresh(TASK)
    assert len(parsed) == 1
    assert state is not None
    assert state.current_step is not None
    assert state.current_step.id == "code"


def test_step_events_of_an_attempt_have_a_cap_that_is_told(site: ControlHarness) -> None:
    """C8: a loop may go round ten thousand times; also across daemons."""
    site.started()
    site.record(Run.begin(1))
    for _ in range(2):
        site.live = JournalWatch(site.home, site.store, max_step_events=4)
        for _ in range(3):
            site.record(*around(1))
            site.live.refresh(TASK)
    assert len(told(site)) == 4
    [capped] = site.data("task.steps_untold")
    assert "4 steps were reported" in capped["message"]


def test_a_crash_before_the_cap_was_told_is_made_good(site: ControlHarness) -> None:
    """C8."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"))
    JournalWatch(site.home, site.store, max_step_events=2).refresh(TASK)
    site.record(Run.done("plan"))
    live = JournalWatch(site.home, site.store, max_step_events=2)
    live._report_omission = lambda _: None  # type: ignore[method-assign]  # it died here
    live.refresh(TASK)
    assert site.data("task.steps_untold") == []
    JournalWatch(site.home, site.store, max_step_events=2).refresh(TASK)
    assert len(site.data("task.steps_untold")) == 1


def test_a_record_that_cannot_be_understood_is_not_skipped(site: ControlHarness) -> None:
    """C2: what follows it is not believed either."""
    site.started()
    site.record(Run.begin(1), Run.start("plan"))
    good = site.live.refresh(TASK)
    malform(site)
    site.record(Run.done("plan"))
    for _ in range(2):
        assert site.live.refresh(TASK) == good


def test_what_the_hub_has_is_asked_once_and_not_imported_again(site: ControlHarness) -> None:
    """C10: with 10,000 snapshots one question is enough."""
    site.started()
    site.record(Run.begin(1), Run.done("plan", snapshot(1)), Run.done("code", snapshot(2)))
    site.attempts.finish.import_snapshots(site.task())
    site.hub.imported.clear()
    site.record(Run.done("code", snapshot(3)))
    last = site.attempts.finish.import_snapshots(site.task())
    assert last is not None
    assert (last.sequence, site.hub.imported) == (3, [3])
