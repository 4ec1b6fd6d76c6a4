"""What every test shares: one cache of agents' programs, kept between runs, and no daemon that
stays behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.daemons import strays
from tests.support.docker_env import cache_folder

os.environ.setdefault("ROVER_AGENT_CACHE", str(cache_folder() / "agents"))
os.environ["ROVER_TESTS"] = str(os.getpid())
# How fast examples are made says something about the machine alone.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def _no_daemon_outlives_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    for stray in strays(tmp_path_factory.getbasetemp()):
        stray.end()


@pytest.fixture(scope="module", autouse=True)
def _no_daemon_outlives_its_module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    yield
    for stray in strays(tmp_path_factory.getbasetemp(), request.node.nodeid):
        if not stray.is_kept():
            stray.end()
