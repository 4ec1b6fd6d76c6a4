"""Sandboxes that are ready before their task is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support.attempts_site import ControlHarness, open_site
from tests.support.samples import TASK


@dataclass
class WarmPoolHarness:
    """A warm pool on a fake engine, with a clock that a test sets."""

    site: ControlHarness
    world: FakeEngineState = field(default_factory=FakeEngineState)
    clock: float = 0.0

    def daemon(self, most: int = 1) -> WarmPool:
        """The spares of a daemon that starts now."""
        changed = {"spare_sandboxes": most, "spare_seconds": 100.0}
        return WarmPool(
            self.site.settings.model_copy(update=changed),
            self.site.store,
            {"docker": FakeEngine(self.world, "docker")},
            now=lambda: self.clock,
        )

    def spec(self, project: str = "p1") -> SandboxSpec:
        """What a task that has just begun runs in."""
        self.site.create()
        spec = self.site.attempts.launch._specify(self.site.task(), 1, CancelToken())  # pyright: ignore[reportPrivateUsage]
        return replace(spec, project_id=project)

    def left(self) -> list[str]:
        """Folders of tasks, but for the one that was created."""
        folder = self.site.home / "tasks"
        return sorted(p.name for p in folder.iterdir() if p.name != TASK)


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[WarmPoolHarness]:
    with open_site(tmp_path) as site:
        yield WarmPoolHarness(site)


def test_the_next_task_of_the_project_takes_over_what_is_ready(stock: WarmPoolHarness) -> None:
    warm_pool, spec = stock.daemon(), stock.spec()
    warm_pool.make(spec, "docker")
    taken = warm_pool.take("p1", "docker")
    assert taken is not None
    assert taken != TASK
    assert list(stock.world.ready) == [sandbox_name(taken, 1)]
    ready = stock.world.ready[sandbox_name(taken, 1)]
    assert ready.folders.spec == TaskFolders(stock.site.home, taken, 1).spec(1)
    assert ready.folders.base_objects == TaskFolders(stock.site.home, taken, 1).base_objects
    assert ready.limits == spec.limits
    assert warm_pool.take("p1", "docker") is None, "it is taken once"


def test_another_project_or_engine_does_not(stock: WarmPoolHarness) -> None:
    warm_pool = stock.daemon()
    warm_pool.make(stock.spec(), "docker")
    assert warm_pool.take("p2", "docker") is None
    assert warm_pool.take("p1", "bubblewrap") is None


def test_no_more_are_kept_than_may_be_and_the_oldest_goes(stock: WarmPoolHarness) -> None:
    warm_pool, spec = stock.daemon(most=2), stock.spec()
    for project in ("p1", "p2", "p2", "p3"):
        warm_pool.make(replace(spec, project_id=project), "docker")
    assert warm_pool.take("p1", "docker") is None
    assert warm_pool.take("p2", "docker") is not None
    assert warm_pool.take("p3", "docker") is not None
    assert len(stock.world.ready) == 2
    assert len(stock.left()) == 2


def test_one_that_waited_long_enough_is_removed(stock: WarmPoolHarness) -> None:
    warm_pool = stock.daemon()
    warm_pool.make(stock.spec(), "docker")
    stock.clock = 100.0
    assert warm_pool.take("p1", "docker") is None
    warm_pool.expire()
    assert not stock.world.ready
    assert not stock.left()
    assert not warm_pool.names()


def test_what_a_killed_daemon_left_is_removed_by_the_next(stock: WarmPoolHarness) -> None:
    warm_pool = stock.daemon()
    warm_pool.make(stock.spec(), "docker")
    assert len(warm_pool.names()) == 1
    stock.daemon().recover()
    assert not stock.world.ready
    assert not stock.left()
    assert not warm_pool.names()


def test_one_that_became_a_task_before_the_daemon_died_is_kept(stock: WarmPoolHarness) -> None:
    warm_pool = stock.daemon()
    warm_pool.make(stock.spec(), "docker")
    taken = warm_pool.take("p1", "docker")
    assert taken is not None
    stock.site.create(taken, request_key=None)
    stock.daemon().recover()
    assert list(stock.world.ready) == [sandbox_name(taken, 1)]
    assert stock.left() == [taken]
    assert not warm_pool.names()


def test_a_task_that_was_not_to_be_leaves_nothing(stock: WarmPoolHarness) -> None:
    warm_pool = stock.daemon()
    warm_pool.make(stock.spec(), "docker")
    taken = warm_pool.take("p1", "docker")
    assert taken is not None
    warm_pool.discard(taken)
    assert not stock.world.ready
    assert not stock.left()
    warm_pool.discard(TASK)
    assert (stock.site.home / "tasks" / TASK).exists(), "no spare: nothing is touched"


def test_an_engine_that_does_not_answer_has_none_and_nothing_fails(stock: WarmPoolHarness) -> None:
    warm_pool, spec = stock.daemon(), stock.spec()
    stock.world.unreachable()
    warm_pool.make(spec, "docker")
    assert warm_pool.take("p1", "docker") is None
    assert len(warm_pool.names()) == 1, "what could not be removed is known to the next daemon"
    stock.world.fault = None
    stock.daemon().recover()
    assert not stock.left()


def test_what_this_daemon_made_before_it_looked_for_what_was_left_stays(
    stock: WarmPoolHarness,
) -> None:
    """Clients are served before: a spare, or an image that is being built, may be there already."""
    warm_pool = stock.daemon()
    warm_pool.make(stock.spec(), "docker")
    warm_pool.recover()
    assert warm_pool.take("p1", "docker") is not None
    assert len(stock.left()) == 1
