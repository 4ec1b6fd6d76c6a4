"""What every test shares: one cache of agents' programs, kept between runs."""

from __future__ import annotations

import os

from tests.support.docker_env import cache_folder

os.environ.setdefault("ROVER_AGENT_CACHE", str(cache_folder() / "agents"))
