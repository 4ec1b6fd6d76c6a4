"""Random kill -9 of the daemon, the runner, its supervisor and its container: nothing is lost,
nothing runs twice. `make crash` does it hundreds of times; docs/reliability.md has its figures.

    ROVER_KILL_SEEDS=1,2,3 python -m pytest tests/crash/test_random_kills.py   # other seeds

The seed of a run is its test's id.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.crash.scene import CrashScenario, open_scene
from tests.e2e.conftest import docker_host, engine_for_daemons

__all__ = ["docker_host", "engine_for_daemons"]

IDLE_BUT_RUNNING = 120.0
"""Seconds for which a task may be shown running while nothing of it runs, times the machine's pace.
It takes a sweep (2 s here) and the start of a daemon and a sandbox; a task that nobody looks after
stays so for good."""

SEEDS = [int(s) for s in os.environ.get("ROVER_KILL_SEEDS", "1,2,3").split(",") if s]


@pytest.fixture(scope="module")
def scene() -> Iterator[CrashScenario]:
    with open_scene() as opened:
        yield opened


@pytest.mark.parametrize("seed", SEEDS)
def test_random_kills_lose_nothing_and_repeat_nothing(scene: CrashScenario, seed: int) -> None:
    """C1, C4, C8, F5, F7, L1, L2, L8 on bubblewrap: nested loops, 31 step runs."""
    tried = scene.try_hard(seed, "bubblewrap")
    assert tried.watch.longest_idle < IDLE_BUT_RUNNING * scene.pace


@pytest.mark.docker
@pytest.mark.parametrize("seed", SEEDS[:1])
def test_random_kills_on_docker(scene: CrashScenario, seed: int) -> None:
    """C1, C4, C8, F5, F7, L1, L2, L8 on Docker."""
    scene.try_hard(seed, "docker")
