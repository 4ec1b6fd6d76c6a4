"""The real CLIs in real containers: each pauses with the right reason, provider and time on every
trouble, and goes on in its session. `make agents` runs all six; here those of the CI."""

from __future__ import annotations

import os

import pytest

from tests.matrix.__main__ import run_column
from tests.matrix.cells import AGENTS, IN_CI
from tests.support.docker_env import docker_host

__all__ = ["docker_host"]

pytestmark = [pytest.mark.real_agent, pytest.mark.docker]
CHOSEN = AGENTS if os.environ.get("ROVER_MATRIX") == "all" else IN_CI


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("agent", CHOSEN)
def test_the_agent_pauses_rightly_and_goes_on_in_its_session(
    docker_host: str, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1, D3, D5, D9, E1, F8, L2: the file that it wrote before is delivered after."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    seen = run_column(agent, docker_host)
    assert {s.cell: s.wrong for s in seen if s.wrong} == {}
