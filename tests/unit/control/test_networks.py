"""Policies at the lease, the user's own proxy, and what was refused, written down."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.task_networks import TaskNetworks
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.gateway.internet import UpstreamProxy
from rover_mcp.gateway.refusals import KEPT, RefusedHost, RefusedHosts
from rover_mcp.tasks.caller import Caller
from tests.support.attempts_site import ControlHarness


class Writer:
    """The wait between two writes, and how a test waits for them."""

    def __init__(self) -> None:
        self.idle = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, _: float) -> None:
        self.idle.release()
        assert self.go.acquire(timeout=300)


def refused(host: str, count: int = 1) -> RefusedHost:
    return RefusedHost(host, "not on the list", "open", count)


@pytest.fixture
def credentials(site: ControlHarness) -> Credentials:
    return Credentials(site.settings)


def test_hosts_of_the_users_list_hold_for_the_next_attempt(
    site: ControlHarness, credentials: Credentials
) -> None:
    task = site.create(network={"mode": "providers", "allow": ["git.example.org"]})
    settings = site.settings.model_copy(
        update={"network": NetworkPolicy(mode=NetworkMode.OPEN, allow=("example.org",))}
    )
    networks = TaskNetworks(settings, site.store, credentials)
    assert networks.policy(task) == NetworkPolicy(
        mode=NetworkMode.PROVIDERS, allow=("git.example.org", "example.org")
    )
    old = replace(task, network=None)
    assert networks.policy(old).mode is NetworkMode.ALLOWLIST


def test_the_proxy_is_the_clients_own(
    site: ControlHarness, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://daemon:1")
    networks = TaskNetworks(site.settings, site.store, credentials)
    task = site.create(client_id="c")
    assert networks.proxy(task.id, 1, "pypi.org") == UpstreamProxy("daemon", 1)
    env = {"https_proxy": "http://client:2", "no_proxy": "pypi.org"}
    credentials.remember(Caller("c", Path("/"), "cli", "1", env))
    assert networks.proxy(task.id, 1, "github.com") == UpstreamProxy("client", 2)
    assert networks.proxy(task.id, 1, "pypi.org") is None
    assert networks.proxy("f" * 32, 1, "pypi.org") is None


def test_refusals_are_written_at_once_then_together_and_survive(
    site: ControlHarness, credentials: Credentials
) -> None:
    """An agent that tries without end costs one write at a time."""
    task, wait = site.create(), Writer()
    networks = TaskNetworks(site.settings, site.store, credentials, wait)
    networks.refused(task.id, refused("a:443"))
    assert wait.idle.acquire(timeout=300)
    row = site.store.tasks.get(task.id)
    assert row
    assert row.refused == RefusedHosts({("a:443", "not on the list"): refused("a:443")}).as_json()
    for _ in range(500):
        networks.refused(task.id, refused("a:443"))
        networks.refused("f" * 32, refused("b:443"))
    wait.go.release()
    assert wait.idle.acquire(timeout=300)
    row = site.store.tasks.get(task.id)
    assert row
    (kept,) = RefusedHosts.of(row.refused).hosts.values()
    assert kept.count == 501
    wait.go.release()


def test_nothing_is_still_to_be_written_when_the_end_of_a_task_is_told(
    site: ControlHarness, credentials: Credentials
) -> None:
    """The daemon may end at once then."""
    task, wait = site.create(), Writer()
    networks = TaskNetworks(site.settings, site.store, credentials, wait)
    networks.refused(task.id, refused("a:443"))
    assert wait.idle.acquire(timeout=300)
    networks.refused(task.id, refused("b:443"))
    networks.flush(task.id)
    row = site.store.tasks.get(task.id)
    assert row
    assert [host["host"] for host in (row.refused or {})["hosts"]] == ["a:443", "b:443"]
    networks.flush(task.id)
    wait.go.release()


def test_what_is_kept_of_refusals_is_bounded() -> None:
    hosts = RefusedHosts()
    for number in range(KEPT + 20):
        hosts.add(refused(f"{number}:443"))
    assert len(hosts.hosts) == KEPT
    assert hosts.more == 20
    again = RefusedHosts.of(hosts.as_json())
    again.merge(RefusedHosts.of(hosts.as_json()))
    assert again.more == 40
    assert {host.count for host in again.hosts.values()} == {2}
