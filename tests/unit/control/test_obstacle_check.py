"""Pauses that end when somebody has cleared the way: a full disk, a branch that is in use."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent_runner.models import PauseReason
from agent_runner.no_space import FREE_FIRST
from agent_runner.worktree.disk_watch import FreeDiskSpace
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control import obstacle_check
from rover_mcp.control.resume_tries import ResumeTries
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.obstacles import CLEARED_FIRST, DELIVERY_LEFT, Obstacle
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.git.branch_blocked import blocked
from rover_mcp.tasks.pause_view import Policy, pause_view
from tests.support.attempts_site import STARTED, ControlHarness, Run
from tests.support.repos import git, make_repository
from tests.support.samples import TASK, snapshot

S = TaskStatus
FLOOR = 200 * 1024**2
CHECKED_OUT = Conflict(
    "the branch rover/1-x is checked out in /home/me/repo",
    hint="run: git -C /home/me/repo switch <another branch>, then try again",
    code="branch_checked_out",
)
LOCKED = EnvironmentFault("rover/1-x.lock exists", code="publish_failed")


def undelivered(site: ControlHarness, fault: Conflict | EnvironmentFault) -> None:
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.hub.publish_fault = fault
    site.settle(0)


def waits(site: ControlHarness) -> str | None:
    view = pause_view(site.task(), None, 0.0, Policy())
    return view.waits_because if view and view.auto_resume else None


@pytest.mark.parametrize("fault", [CHECKED_OUT, LOCKED], ids=str)
def test_a_branch_that_is_in_use_pauses_the_task_until_it_is_free(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, fault: Conflict | EnvironmentFault
) -> None:
    """V3: the work is done, so the task has not failed."""
    undelivered(site, fault)
    task = site.task()
    assert (task.status, task.error) == (S.PAUSED, None)
    assert task.pause is not None
    assert (task.pause.reason, fault.message in task.pause.message) == (
        PauseReason.INTERRUPTED, True,
    )  # fmt: skip
    assert task.pause.message.endswith(f"then resume: {DELIVERY_LEFT}")
    assert "try again" not in task.pause.message
    assert waits(site) == CLEARED_FIRST[Obstacle.BRANCH]
    site.restart()
    monkeypatch.setattr(obstacle_check, "blocked", lambda *_: "it is checked out")
    assert (
        site.attempts.waiting.release_unblocked(),
        site.attempts.waiting.release_signed_in(),
    ) == ([], [])
    monkeypatch.setattr(obstacle_check, "blocked", lambda *_: None)
    [found] = site.attempts.waiting.release_unblocked()
    assert found.state == "released"
    site.hub.publish_fault = None
    assert site.claim(2)
    site.settle(0, 2)
    assert (site.task().status, site.hub.published) == (S.COMPLETED, [task.branch])


def test_a_branch_with_other_commits_is_a_failure(site: ControlHarness) -> None:
    undelivered(site, Conflict("it has other commits", code="branch_diverged"))
    assert site.task().status is S.FAILED


@pytest.mark.parametrize("free", [0, FLOOR, 2 * FLOOR - 1])
def test_a_task_resumes_once_its_disk_has_twice_what_a_run_needs(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """E2, L7: just enough would pause it again at once."""
    site.restart(min_free_bytes=FLOOR)
    undelivered(site, EnvironmentFault("the disk is full", code=DISK_FULL))
    task = site.task()
    assert task.pause is not None
    assert FREE_FIRST in task.pause.message
    assert waits(site) == CLEARED_FIRST[Obstacle.DISK]
    monkeypatch.setattr(obstacle_check, "free_space", lambda _: FreeDiskSpace(free, free))
    assert site.attempts.waiting.release_unblocked() == []
    monkeypatch.setattr(obstacle_check, "free_space", lambda _: FreeDiskSpace(2 * FLOOR, 2 * FLOOR))
    assert len(site.attempts.waiting.release_unblocked()) == 1


def test_a_task_waits_for_space_on_the_disk_of_its_engine(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only Docker's own disk is full: the task would use up its resumes against the same error."""
    undelivered(site, EnvironmentFault("Docker's disk is full", code=DISK_FULL))
    left = {tmp_path: 0}

    def free(places: list[Path]) -> FreeDiskSpace:
        least = min(left.get(place, 2**40) for place in places)
        return FreeDiskSpace(least, least)

    monkeypatch.setattr(obstacle_check, "free_space", free)
    engine = type(site.attempts.context.engines["docker"])
    monkeypatch.setattr(engine, "disk_folders", lambda _: [tmp_path], raising=False)
    assert site.attempts.waiting.release_unblocked() == []
    left[tmp_path] = 2**40
    assert len(site.attempts.waiting.release_unblocked()) == 1


def test_a_task_that_starts_on_a_full_disk_waits_for_space_too(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create()
    assert site.claim(1)
    site.world.fault = EnvironmentFault("the disk is full", code=DISK_FULL)
    assert not site.attempts.launch.bring_up(TASK, 1)
    assert (site.task().status, waits(site)) == (S.PAUSED, CLEARED_FIRST[Obstacle.DISK])
    monkeypatch.setattr(obstacle_check, "free_space", lambda _: FreeDiskSpace(2**40, 2**40))
    [found] = site.attempts.waiting.release_unblocked()
    assert site.claim(found.attempt)
    assert not site.attempts.launch.bring_up(TASK, found.attempt)
    assert site.task().status is S.PAUSED
    assert site.attempts.waiting.release_unblocked() == [], "it is tried again only after a while"


@pytest.mark.parametrize("where", ["task", "settings", "no tries"])
def test_nothing_resumes_by_itself_where_that_is_off(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """K7."""
    if where == "settings":
        site.restart(auto_resume=False)
    if where == "no tries":
        site.restart(retry=site.settings.retry.model_copy(update={"max_auto_retries": 0}))
    undelivered(site, CHECKED_OUT)
    if where == "task":
        site.store.switches.set_for_task(TASK, enabled=False)
    monkeypatch.setattr(obstacle_check, "blocked", lambda *_: None)
    assert site.attempts.waiting.release_unblocked() == []
    policy = Policy(config_off=where == "settings", max_auto_retries=0 if where[0] == "n" else 5)
    view = pause_view(site.task(), None, 0.0, policy)
    assert view is not None
    assert (view.auto_resume, bool(view.waits_because)) == (False, True)
    site.restart(auto_resume=True, retry=RetrySettings())
    site.store.switches.set_for_task(TASK, enabled=True)
    site.attempts.waiting.await_credentials()
    assert len(site.attempts.waiting.release_unblocked()) == 1


def test_what_comes_back_at_once_is_tried_less_and_less_often() -> None:
    clock, retry = [0.0], RetrySettings()
    tries = ResumeTries(lambda: clock[0])
    waited: list[float] = []
    for _ in range(4):
        began = clock[0]
        while not tries.take(TASK, retry):
            clock[0] += 1
        waited.append(clock[0] - began)
    assert waited == [0, 60, 120, 240]
    clock[0] += 10 * retry.transient_most
    assert tries.take(TASK, retry)
    clock[0] += 60
    assert tries.take(TASK, retry)


def test_what_is_in_a_branchs_way_is_seen_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, branch = make_repository(tmp_path / "repository"), "rover/1-x"
    git(repository, "branch", branch)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert blocked(repository, branch) is None
    heads = repository / ".git" / "refs" / "heads" / "rover"
    (heads / "1-x.lock").touch()
    assert "1-x.lock exists" in (blocked(repository, branch) or "")
    (heads / "1-x.lock").unlink()
    (repository / ".git" / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    assert str(repository) in (blocked(repository, branch) or "")
