"""V1: git that is killed or stopped in a sandbox changes no result. The large form, with the figures
of docs/reliability.md: `python -m tests.crash.git_kills --runs 200 --files 60000`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.git_kills import GitKillScenario, open_git_scene
from tests.e2e.conftest import docker_host, engine_for_daemons

__all__ = ["docker_host", "engine_for_daemons"]


@pytest.fixture(scope="module")
def scene() -> Iterator[GitKillScenario]:
    with open_git_scene(300) as opened:
        yield opened


def test_a_git_that_is_killed_or_stopped_changes_no_result(scene: GitKillScenario) -> None:
    """Runs until some gits were struck: a moment that was drawn may find none."""
    struck = 0
    for seed in range(5, 15):
        tried = scene.try_hard(seed)
        assert not tried.wrong
        struck += len(tried.struck)
        if struck >= 3:
            return
    raise AssertionError(f"only {struck} gits were struck in ten runs")
