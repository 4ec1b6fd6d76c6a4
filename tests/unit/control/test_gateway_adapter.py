"""What the gateway tells the control plane of a model's answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_runner.models import Budget, RunState, Usage
from rover_mcp.config.settings import CredentialSource
from rover_mcp.control.control_ports import Account
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.gateway_adapter import GatewayAdapter
from rover_mcp.daemon.task_networks import TaskNetworks
from rover_mcp.daemon.usage_recording import write_entries
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.gateway.grant import (
    GatewayGrant,
    ProviderAccess,
    ProviderAnswer,
    ProviderError,
    Reserved,
    UsageEntry,
)
from rover_mcp.gateway.providers import Provider
from rover_mcp.tasks.caller import Caller
from tests.support.attempts_site import ControlHarness
from tests.support.samples import NOW, TASK

GOOD = ProviderAnswer(NOW, "POST", "/v1/messages", 200, usage=Usage(output_tokens=3))


@dataclass
class FakeGateway:
    leases: list[GatewayGrant] = field(default_factory=list[GatewayGrant])

    def open(self, lease: GatewayGrant) -> None:
        self.leases.append(lease)

    def close(self, task_id: str) -> None:
        self.leases.clear()


class FakePortal:
    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


@dataclass
class ReportedEvents:
    """What the control plane heard, from threads of its own."""

    heard: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    threads: set[int] = field(default_factory=set[int])
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, task_id: str, attempt: int, model: str | None) -> None:
        self.heard.append((task_id, attempt))
        self.threads.add(threading.get_ident())
        self.came.release()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def told() -> ReportedEvents:
    return ReportedEvents()


@pytest.fixture
def credentials(site: ControlHarness) -> Credentials:
    return Credentials(site.settings)


@pytest.fixture
def adapter(
    site: ControlHarness, gateway: FakeGateway, told: ReportedEvents, credentials: Credentials
) -> GatewayAdapter:
    real: Any = gateway
    portal: Any = FakePortal()
    networks = TaskNetworks(site.settings, site.store, credentials)
    return GatewayAdapter(
        site.home, real, portal, site.store, credentials, networks, lambda _: None, told,
        now=NOW.timestamp,
    )  # fmt: skip


def lease(adapter: GatewayAdapter, gateway: FakeGateway, attempt: int = 1) -> GatewayGrant:
    adapter.open(TASK, attempt, Path("/gateway.sock"), "token", "claude")
    return gateway.leases[-1]


def test_the_first_good_answer_is_reported_once_on_another_thread(
    adapter: GatewayAdapter, gateway: FakeGateway, told: ReportedEvents
) -> None:
    """K5: the gateway's loop waits for nobody."""
    for attempt in (1, 2):
        opened = lease(adapter, gateway, attempt)
        for _ in range(3):
            opened.on_answer(TASK, GOOD)
        assert told.came.acquire(timeout=300)
    assert told.heard == [(TASK, 1), (TASK, 2)]
    assert threading.get_ident() not in told.threads


@pytest.mark.parametrize(
    "answer",
    [
        replace(GOOD, status=429),
        replace(GOOD, status=None),
        replace(GOOD, status=500),
        replace(GOOD, error=ProviderError("overloaded_error", None, "overloaded")),
        replace(GOOD, usage=None),
    ],
    ids=["refused", "no answer", "server error", "error in the stream", "no model call"],
)
def test_an_answer_that_says_nothing_good_of_the_account_is_not_told(
    adapter: GatewayAdapter, gateway: FakeGateway, told: ReportedEvents, answer: ProviderAnswer
) -> None:
    """K5: a good one after it is."""
    opened = lease(adapter, gateway)
    opened.on_answer(TASK, answer)
    opened.on_answer(TASK, GOOD)
    assert told.came.acquire(timeout=300)
    assert told.heard == [(TASK, 1)]


def test_an_account_is_a_label_and_never_the_credential(
    adapter: GatewayAdapter, site: ControlHarness, credentials: Credentials
) -> None:
    """M2, D9: or what is missing, and where to configure it."""
    site.create()
    missing = next(adapter.accounts(TASK, 1, "claude")).missing
    assert missing is not None
    assert "credentials.anthropic in config.yaml" in missing
    credentials.remember(Caller("client-1", site.home, env={"ANTHROPIC_API_KEY": "sk-secret"}))
    found = next(adapter.accounts(TASK, 1, "claude"))
    assert (found.label or "").startswith("anthropic-")
    assert "secret" not in str(found)
    assert (
        next(adapter.accounts(TASK, 1, "scripted"))
        == next(adapter.accounts("e" * 32, 1, "claude"))
        == Account()
    )


def test_a_lease_reaches_only_the_providers_of_the_attempts_agents(
    adapter: GatewayAdapter, site: ControlHarness, gateway: FakeGateway
) -> None:
    """M2: the agent's, and those that the workflow names; a scripted one's none."""
    task = site.create()
    step = "name: w\nversion: '1.0'\nsteps:\n  - {id: a, name: A, type: agent, prompt: p"
    workflow = TaskFolders(site.home, task.id, task.iteration).input / "workflow.yaml"
    workflow.parent.mkdir(parents=True, exist_ok=True)
    found: list[set[str]] = []
    for text in (f"{step}}}\n", f"{step}, tool: codex}}\n", "no workflow"):
        workflow.write_text(text)
        for agent in ("claude", "gemini", "scripted"):
            adapter.open(TASK, 1, Path("/gateway.sock"), "token", agent)
            found.append(set(gateway.leases[-1].providers))
    alone = [{"anthropic"}, {"google"}, set[str]()]
    assert found == [*alone, {"openai"}, {"openai"}, set[str](), *alone]


def test_a_budget_is_asked_of_the_books_and_the_agents_own_account(
    adapter: GatewayAdapter, site: ControlHarness, gateway: FakeGateway
) -> None:
    """The larger counts; a task without a budget is not asked at all."""
    site.create()
    assert lease(adapter, gateway).used_up is None
    site.store.tasks.update(TASK, budget=Budget(tokens=10))
    used_up = lease(adapter, gateway).used_up
    assert used_up is not None
    assert used_up() is None
    write_entries(site.store, [UsageEntry(TASK, "1", 1, NOW, "openai", "m", Usage(input_tokens=9))])
    assert used_up() is None
    write_entries(
        site.store, [UsageEntry(TASK, "1", 1, NOW, "openai", "m", Usage(input_tokens=12))]
    )
    assert used_up() == "it has used 12 of 10 tokens"
    site.store.tasks.update(TASK, run_state=RunState(usage=Usage(output_tokens=20)))
    assert used_up() == "it has used 20 of 10 tokens"
    standing = lease(adapter, gateway).budget_state
    assert standing is not None
    now = standing()
    assert now is not None
    assert (now.budget, now.spent.tokens, now.over) == (Budget(tokens=10), 20, used_up())


def test_a_call_that_a_killed_daemon_made_is_estimated_once(
    adapter: GatewayAdapter, site: ControlHarness, gateway: FakeGateway
) -> None:
    """U10: what was reserved is neither lost nor doubled. One that goes on here is left alone."""
    site.create()
    begun, model = NOW - timedelta(seconds=3), "gpt-5.1"

    def call(name: str, usage: Usage) -> UsageEntry:
        held = Reserved(1000, 500)
        return UsageEntry(TASK, name, 1, begun, "openai", model, usage, reserved=held)

    write_entries(site.store, [call("a", Usage()), call("b", Usage(input_tokens=7))])
    assert site.store.usage.spent(TASK).tokens == 7
    lease(adapter, gateway)
    for _ in range(2):
        [use] = site.store.usage.by_model(TASK)
        assert (use.calls, use.estimated, use.usage.input_tokens) == (2, 2, 1007)
        assert use.usage.output_tokens == 2 * 300
        assert use.usage.cost_usd == pytest.approx((1007 * 1.25 + 600 * 10) / 1e6)
        assert site.store.usage.on_their_way(TASK) == []
        write_entries(site.store, [call("c", Usage())])
        lease(adapter, gateway, 2)
        assert [c.id for c in site.store.usage.on_their_way(TASK)] == ["c"]
        write_entries(site.store, [replace(call("c", Usage()), reserved=None, calls=0)])


def test_models_are_asked_of_another_service_than_the_provider_only(
    site: ControlHarness,
    gateway: FakeGateway,
    told: ReportedEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call has the credential of that service, and is not made for a task without a
    network."""
    asked: list[str] = []

    def served(provider: Provider, access: ProviderAccess) -> tuple[str, ...]:
        asked.append(f"{provider.name} {access.base_url} {access.header_value}")
        return ("glm-4.6",)

    def models(base_url: str | None, **task: Any) -> list[str]:
        source = CredentialSource(env="PROXY_KEY", base_url=base_url)
        settings = site.settings.model_copy(update={"credentials": {"anthropic": source}})
        credentials = Credentials(settings)
        real: Any = gateway
        portal: Any = FakePortal()
        networks = TaskNetworks(settings, site.store, credentials)
        adapter = GatewayAdapter(
            site.home, real, portal, site.store, credentials, networks, lambda _: None, told
        )
        return [*adapter.served_models(replace(row, **task))]

    monkeypatch.setenv("PROXY_KEY", "sk-proxy")
    row = site.create()
    gateway.served = served  # type: ignore[attr-defined]
    assert models("http://proxy.example/api") == ["glm-4.6"]
    assert models(None) == models("http://proxy.example/api", network={"mode": "none"}) == []
    assert asked == ["anthropic http://proxy.example/api sk-proxy"]
