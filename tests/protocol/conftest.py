"""A real daemon for each test, as in tests/e2e."""

from tests.e2e.conftest import docker_host, engine_for_daemons, home, repository

__all__ = ["docker_host", "engine_for_daemons", "home", "repository"]
