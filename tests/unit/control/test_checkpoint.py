"""What an attempt is handed of a checkpoint that is damaged, missing or shortened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent_runner.journal.journal_reader import JournalDamaged, read_journal
from agent_runner.models import RunStatus
from agent_runner.spec import Instructions, RunSpec
from rover_mcp.control.checkpoint import has_checkpoint
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.task_status import Event, TaskStatus
from tests.support.attempts_site import NAME, ControlHarness, Run
from tests.support.samples import COMMIT, TASK, snapshot

S = TaskStatus
STARTED = [Run.begin(1), Run.start("plan"), Run.done("plan", snapshot(1))]


def flip(site: ControlHarness) -> None:
    """One bit of the first record."""
    raw = bytearray(site.folders.journal.read_bytes())
    raw[30] ^= 1
    site.folders.journal.write_bytes(raw)


def malform(site: ControlHarness) -> None:
    site.record(Run.start("no such step"))


def failed(site: ControlHarness, harm: Callable[[ControlHarness], None]) -> bytes:
    """A task whose journal was damaged while it ran; what stands in it."""
    site.started()
    site.record(*STARTED)
    site.attempts.finish.import_snapshots(site.task())
    harm(site)
    site.settle(1)
    assert site.task().status is S.FAILED
    return site.folders.journal.read_bytes()


def resume(site: ControlHarness, client: str | None = "a-person") -> RunSpec:
    """What the next sandbox is told."""
    won = site.store.transitions.resume(TASK, client)
    assert won is not None
    number = won[1].attempt
    assert site.claim(number)
    assert site.attempts.launch.bring_up(TASK, number)
    [spec] = [s.spec for s in site.world.sandboxes.values() if s.spec.attempt == number]
    return spec.run


def test_the_next_round_of_a_resolution_lacks_no_checkpoint(site: ControlHarness) -> None:
    """N2: its journal is a new one, about which nobody has to be warned."""
    site.started()
    given = IterationInput(instructions=Instructions(text="Once more"))
    begun = site.store.transitions.iterate(TASK, 1, None, given, Event.NEXT_ROUND)
    assert begun is not None
    assert site.claim(begun[1].attempt)
    assert site.attempts.launch.bring_up(TASK, begun[1].attempt)
    [spec] = [s.spec for s in site.world.sandboxes.values() if s.spec.attempt == 2]
    assert spec.run.begins_iteration


@pytest.mark.parametrize("harm", [flip, malform])
def test_a_person_who_resumes_sets_a_damaged_journal_aside(
    site: ControlHarness, harm: Callable[[ControlHarness], None]
) -> None:
    """C2, F3, I5: whole, by name; the iteration runs from its start, with a warning, and there
    is no checkpoint to go on from."""
    was = failed(site, harm)
    assert "resume_task sets a damaged one aside" in str(site.task().error)
    assert not has_checkpoint(site.folders.journal)
    resume(site)
    aside = site.folders.run / "journal.damaged-1"
    assert aside.read_bytes() == was
    assert not site.folders.journal.exists()
    [told] = [w for w in site.task().warnings if "journal.damaged-1" in w]
    assert "runs from its start" in told


def test_the_place_of_the_damage_is_told(site: ControlHarness) -> None:
    """C2."""
    failed(site, flip)
    resume(site)
    assert any("line 1, byte 0" in w for w in site.task().warnings)


def test_the_last_snapshot_outlives_a_journal_that_is_set_aside(site: ControlHarness) -> None:
    """C10: under a ref of its own, which is told; no later snapshot takes its number."""
    failed(site, flip)
    spec = resume(site)
    assert site.hub.kept == {"1-2": COMMIT}
    assert any(f"refs/rover/{TASK}/kept/1-2" in w for w in site.task().warnings)
    assert (spec.first_snapshot, spec.restore) == (2, None)


def test_what_was_set_aside_before_is_never_overwritten(site: ControlHarness) -> None:
    """C2."""
    failed(site, flip)
    resume(site)
    site.record(Run.begin(2), Run.start("plan"))
    flip(site)
    site.settle(1, attempt=2)
    resume(site)
    assert {p.name for p in site.folders.run.glob("journal.damaged-*")} == {
        "journal.damaged-1",
        "journal.damaged-2",
    }


def test_no_automatic_resume_gives_a_checkpoint_up(site: ControlHarness) -> None:
    """C2: it was paused, and the damage came later."""
    site.started()
    site.record(*STARTED)
    site.settle(None)
    flip(site)
    site.store.tasks.update(TASK, retry_at=0)
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    assert not list(site.folders.run.glob("journal.damaged-*"))
    with pytest.raises(JournalDamaged):
        read_journal(site.folders.journal)
    site.settle(1, attempt=2)
    assert site.task().status is S.FAILED


def test_a_journal_of_a_newer_version_is_left_where_it_is(site: ControlHarness) -> None:
    """A3."""

    def outgrow(site: ControlHarness) -> None:
        raw = site.folders.journal.read_bytes()
        site.folders.journal.write_bytes(raw.replace(b'"v":2', b'"v":9'))

    was = failed(site, outgrow)
    resume(site)
    assert site.folders.journal.read_bytes() == was


def test_launching_again_after_a_crash_leaves_the_new_journal_alone(site: ControlHarness) -> None:
    """L8, I7: whatever the runner has written since."""
    failed(site, flip)
    resume(site)
    site.record(Run.begin(2))
    site.restart()
    assert site.attempts.launch.bring_up(TASK, 2)
    assert has_checkpoint(site.folders.journal)
    assert len(list(site.folders.run.glob("journal.damaged-*"))) == 1


def test_a_sound_journal_goes_on_after_its_last_snapshot(site: ControlHarness) -> None:
    """C10, I5, I6."""
    site.started()
    site.record(*STARTED)
    site.settle(None)
    assert has_checkpoint(site.folders.journal)
    spec = resume(site)
    assert spec.restore is not None
    assert spec.first_snapshot == 2
    assert site.hub.kept == {}
    assert not any("journal" in w for w in site.task().warnings)


@pytest.mark.parametrize("lost", ["the journal", "its end"])
def test_snapshots_beyond_the_journal_are_kept_under_their_numbers(
    site: ControlHarness, lost: str
) -> None:
    """C10, I7: a journal that is gone, or was shortened."""
    site.started()
    site.record(*STARTED, Run.start("code"), Run.done("code", snapshot(2)))
    site.settle(None)
    if lost == "the journal":
        site.folders.journal.unlink()
    else:
        lines = site.folders.journal.read_bytes().splitlines(keepends=True)
        site.folders.journal.write_bytes(b"".join(lines[:-2]))
    spec = resume(site)
    assert spec.first_snapshot == 3
    assert site.hub.kept == {"1-2": COMMIT}
    assert any("snapshot 2 is kept in the hub" in w for w in site.task().warnings)


def test_a_bundle_that_no_journal_names_is_not_overwritten(site: ControlHarness) -> None:
    """C10: it may hold the only copy of some work."""
    site.started()
    site.record(*STARTED)
    bundles = site.folders.run / "bundles"
    bundles.mkdir(parents=True)
    for name in ("000007.bundle", "000009.bundle.part", "x.bundle"):
        (bundles / name).touch()
    site.settle(None)
    assert resume(site).first_snapshot == 8


# Snapshots that cannot be obtained


def refuse(site: ControlHarness, code: str = "bundle_refused") -> None:
    site.hub.import_fault = EnvironmentFault("the bundle is not whole", code=code)


def test_a_snapshot_that_was_not_imported_is_not_shown(site: ControlHarness) -> None:
    """I7: what is shown is what there is."""
    site.started()
    site.record(*STARTED)
    site.attempts.finish.import_snapshots(site.task())
    site.record(Run.start("code"), Run.done("code", snapshot(2)))
    refuse(site)
    site.settle(None)
    shown = site.state().snapshot
    assert shown is not None
    assert shown.sequence == 1


def test_where_the_work_tree_is_there_a_lost_snapshot_stops_nobody(site: ControlHarness) -> None:
    """I6: it is told."""
    site.started()
    site.record(*STARTED)
    refuse(site)
    site.settle(None)
    spec = resume(site)
    assert spec.restore is None
    assert any("the bundle is not whole" in w for w in site.task().warnings)


def test_a_resume_without_journal_and_snapshot_is_refused(
    site: ControlHarness,
) -> None:
    """I4, I6: status and error are what they were."""
    site.started()
    site.record(*STARTED)
    refuse(site)
    site.settle(None)
    site.world.volumes.clear()
    before = site.task()
    won = site.store.transitions.resume(TASK, "a-person")
    assert won is not None
    assert site.claim(won[1].attempt)
    assert not site.attempts.launch.bring_up(TASK, won[1].attempt)
    after = site.task()
    assert (after.status, after.error, after.pause) == (before.status, before.error, before.pause)
    [told] = site.data("task.resume_failed")
    assert "work tree is gone" in told["error"]
    assert "snapshot 1" in told["error"]
    assert "would be lost" in told["error"]
    assert "put 000001.bundle back into" in told["hint"]
    assert NAME not in site.world.sandboxes


def test_a_full_disk_is_no_lost_snapshot(site: ControlHarness) -> None:
    """I4: the start failed, for now."""
    site.started()
    site.record(*STARTED)
    refuse(site, "disk_full")
    site.settle(None)
    won = site.store.transitions.resume(TASK, "a-person")
    assert won is not None
    assert site.claim(won[1].attempt)
    assert not site.attempts.launch.bring_up(TASK, won[1].attempt)
    [told] = site.data("task.resume_failed")
    assert "lost" not in told["error"]
    assert site.task().status is S.PAUSED


def test_there_is_no_checkpoint_before_the_first_record(site: ControlHarness) -> None:
    """I5."""
    site.started()
    assert not has_checkpoint(site.folders.journal)
    site.record(Run.begin(1))
    assert has_checkpoint(site.folders.journal)
    state = site.live.refresh(TASK)
    assert state is not None
    assert state.status is RunStatus.RUNNING
