"""An agent that wants more of the user's money than its task has: through the real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from agent_runner.classify.verdict import classify
from agent_runner.models import Budget, Failure, PauseReason, Usage
from rover_mcp.config.settings import Settings
from rover_mcp.domain.model_rates import Rates
from rover_mcp.gateway.call_estimate import with_output_limit
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import BudgetState, GatewayGrant, UsageEntry
from tests.support.samples import NOW
from tests.unit.gateway.open_gateway import TASK, TOKEN, access_to
from tests.unit.gateway.test_streams import HEAD, Upstream, chunk

HEADERS = {"authorization": f"Bearer {TOKEN}"}
CHAT, RESPONSES = "/openai/v1/chat/completions", "/openai/v1/responses"
PRICED = "gpt-5.1"


@dataclass
class BudgetedTask:
    """A task's budget, and its books in memory."""

    budget: Budget
    entries: dict[str, UsageEntry] = field(default_factory=dict[str, UsageEntry])

    def write(self, entries: Sequence[UsageEntry]) -> None:
        self.entries |= {e.id: e for e in entries}

    @property
    def spent(self) -> Usage:
        total = Usage()
        for entry in self.entries.values():
            total = total.plus(entry.usage)
        return total

    def budget_state(self) -> BudgetState:
        spent, most = self.spent, self.budget
        over = (most.tokens and spent.tokens >= most.tokens) or (
            most.usd and (spent.cost_usd or 0) >= most.usd
        )
        return BudgetState(most, spent, "all of it" if over else None)


@dataclass
class Provider:
    """What the provider saw. `answer` is asked for each request's answer: head and body."""

    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    under_way: int = 0
    most: int = 0
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    usage: dict[str, int] = field(
        default_factory=lambda: {"prompt_tokens": 60, "completion_tokens": 40}
    )
    cut: bool = False
    model: str = PRICED

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            self.requests.append(json.loads(await reader.readexactly(length)))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.cut:
                writer.write(HEAD + chunk(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'))
                await self.waits.wait()
                return
            await asyncio.sleep(0)
            self.under_way -= 1
            body = json.dumps({"model": self.model, "choices": [], "usage": self.usage}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)


@asynccontextmanager
async def spending(
    path: Path, purse: BudgetedTask, provider: Provider
) -> AsyncGenerator[tuple[httpx2.AsyncClient, Gateway]]:
    async with Upstream(provider.serve).listening() as url:
        gateway = Gateway(write=purse.write)
        await gateway.open(
            GatewayGrant(
                task_id=TASK,
                attempt=1,
                socket_path=path,
                token=TOKEN,
                providers=frozenset({"anthropic", "openai", "google"}),
                credentials=lambda _: access_to(url),
                on_bell=lambda _: None,
                on_answer=lambda _task, _answer: None,
                budget_state=purse.budget_state,
            )
        )
        transport = httpx2.AsyncHTTPTransport(uds=str(path))
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://g", limits=limits, timeout=300
        ) as client:
            yield client, gateway
        await gateway.aclose()


def run(work: Any) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 300)

    asyncio.run(bounded())


def test_a_hundred_calls_at_once_spend_no_more_than_the_budget_and_one(tmp_path: Path) -> None:
    """U10. Succeeded at 700cc57: all of them were let go before the first had told what it cost,
    and a budget of 1,000 tokens became 10,000."""
    purse, provider = BudgetedTask(Budget(tokens=1000)), Provider()
    body: dict[str, Any] = {
        "model": PRICED,
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 100,
    }

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, _):
            asked = [client.post(CHAT, json=body, headers=HEADERS) for _ in range(100)]
            statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
            assert set(statuses) == {200, 400}

    run(work)
    worst = 100 + len(json.dumps(body)) // 3 + 1
    assert 1000 <= purse.spent.tokens <= 1000 + worst
    assert provider.most * worst <= 1000 + worst
    assert len(provider.requests) == len([e for e in purse.entries.values() if e.calls])


def test_one_call_goes_alone_where_it_may_cost_more_than_is_left(tmp_path: Path) -> None:
    """U10: an agent that asks for as much as a model can write is neither shut out nor let go
    beside others."""
    purse, provider = BudgetedTask(Budget(usd=0.5)), Provider()
    body: dict[str, Any] = {"model": PRICED, "messages": [], "max_completion_tokens": 100_000}

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, _):
            asked = [client.post(CHAT, json=body, headers=HEADERS) for _ in range(10)]
            answers = await asyncio.gather(*asked)
            assert [a.status_code for a in answers] == [200] * 10

    run(work)
    assert provider.most == 1


def test_a_stream_that_is_left_early_is_paid_for(tmp_path: Path) -> None:
    """U10. Succeeded at 700cc57: OpenAI tells its counts at the end, so an agent that left before
    it had everything for nothing."""
    purse, provider = BudgetedTask(Budget(usd=1)), Provider(cut=True)
    body: dict[str, Any] = {
        "model": PRICED,
        "messages": [{"role": "user", "content": "x" * 3000}],
        "stream": True,
    }

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, gateway):
            async with client.stream("POST", CHAT, json=body, headers=HEADERS) as answer:
                await anext(answer.aiter_raw())
                await gateway.written()
                [held] = purse.entries.values()
                assert held.reserved is not None
                assert held.reserved.output_tokens == 128_000
            while any(e.reserved for e in purse.entries.values()):
                await asyncio.sleep(0.001)
                await gateway.written()
            provider.waits.set()

    run(work)
    [entry] = purse.entries.values()
    assert entry.estimated
    assert entry.usage.input_tokens > 1000
    assert entry.usage.output_tokens > 0
    assert (entry.usage.cost_usd or 0) > 0.001


def test_the_counts_are_asked_for_however_the_agent_wrote_it(tmp_path: Path) -> None:
    """U10. Succeeded at 700cc57. Of a field that stands there twice the provider sees what was
    judged."""
    purse, provider = BudgetedTask(Budget(usd=1)), Provider()
    twice = (
        b'{"model": "gpt-5.1", "messages": [], "stream": true, "max_tokens": 7, "max_tokens": 9,'
        b' "stream_options": {"include_usage": true}, "stream_options": {"include_usage": false}}'
    )

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, _):
            await client.post(CHAT, content=twice, headers=HEADERS)

    run(work)
    [seen] = provider.requests
    assert seen["stream_options"] == {"include_usage": True}
    assert seen["max_tokens"] == 9


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (RESPONSES, {"background": True}),
        (RESPONSES, {"service_tier": "priority"}),
        ("/anthropic/v1/messages", {"model": "claude-opus-4-5", "speed": "fast"}),
    ],
)
def test_a_call_whose_cost_nobody_would_know_does_not_go_out(
    tmp_path: Path, path: str, more: dict[str, Any]
) -> None:
    """U10. Succeeded at 700cc57: a call in the background answers at once, with no count."""
    purse, provider = BudgetedTask(Budget(usd=1)), Provider()
    body: dict[str, Any] = {"model": PRICED, "input": "x", **more}

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, gateway):
            answer = await client.post(path, json=body, headers=HEADERS)
            assert answer.status_code == 400
            assert "cannot be kept" in answer.json()["error"]["message"]
            assert paused(gateway) is PauseReason.BUDGET

    run(work)
    assert provider.requests == []
    assert purse.spent.tokens == 0


def paused(gateway: Gateway) -> PauseReason | None:
    """What the runner makes of the last answer."""
    error = gateway.answers(TASK)[-1].error
    assert error is not None
    failure = Failure("gateway", error.message, status=400, type=error.type, code=error.code)
    return classify([failure], NOW).reason


def test_without_a_price_a_budget_in_money_pauses_and_says_what_to_do(tmp_path: Path) -> None:
    """U10. Succeeded at 700cc57: such a model cost nothing. One in tokens beside it is kept."""
    provider = Provider()
    body: dict[str, Any] = {"model": "gpt-99", "messages": []}

    async def ask(purse: BudgetedTask, name: str) -> tuple[int, str, PauseReason | None]:
        async with spending(tmp_path / name, purse, provider) as (client, gateway):
            answer = await client.post(CHAT, json=body, headers=HEADERS)
            refused = answer.status_code == 400
            return answer.status_code, answer.text, paused(gateway) if refused else None

    async def work() -> None:
        status, said, reason = await ask(BudgetedTask(Budget(usd=1)), "a.sock")
        assert (status, reason, provider.requests) == (400, PauseReason.BUDGET, [])
        for part in ("no price is known for openai's gpt-99", "budget_tokens"):
            assert part in said
        line = json.loads(said)["error"]["message"].rpartition(": prices: ")[2]
        priced = line.replace("INPUT", "1").replace("OUTPUT", "2")
        settings = Settings.model_validate({"home": tmp_path, "prices": yaml.safe_load(priced)})
        assert settings.prices == {"openai": {"gpt-99": Rates(input=1, output=2)}}
        status, _, _ = await ask(BudgetedTask(Budget(usd=1, tokens=10**6)), "b.sock")
        assert status == 200

    run(work)


def test_an_answer_in_another_models_name_is_paid_for(tmp_path: Path) -> None:
    """U10. Succeeded at 3126f3d: an alias, or a service that renames models, answered with a name
    that has no price; it cost nothing then, and the budget was never used up."""
    purse, provider = BudgetedTask(Budget(usd=0.001)), Provider(model="gpt-99")
    body: dict[str, Any] = {"model": PRICED, "messages": [], "max_tokens": 40}

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, _):
            while (await client.post(CHAT, json=body, headers=HEADERS)).status_code == 200:
                pass

    run(work)
    assert len(provider.requests) == 3
    assert purse.spent.cost_usd == pytest.approx(3 * (60 * 1.25 + 40 * 10) / 10**6)


def test_usage_is_reserved_before_the_provider_sees_the_call(
    tmp_path: Path,
) -> None:
    """U10: so that a daemon that is killed in the middle loses nothing."""
    purse, provider = BudgetedTask(Budget(tokens=10**6)), Provider()
    seen: list[list[UsageEntry]] = []
    serve = provider.serve

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(list(purse.entries.values()))
        await serve(reader, writer)

    provider.serve = look  # pyright: ignore[reportAttributeAccessIssue]

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, _):
            await client.post(CHAT, json={"model": PRICED, "messages": []}, headers=HEADERS)

    run(work)
    [[held]] = seen
    assert held.reserved is not None
    [entry] = purse.entries.values()
    assert (entry.id, entry.reserved, entry.usage.tokens) == (held.id, None, 100)


LIMITS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("/anthropic/v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 64_000}, ["max_tokens"]),
    (CHAT, {"model": PRICED, "max_tokens": 64_000}, ["max_tokens"]),
    (CHAT, {"model": PRICED, "max_completion_tokens": 64_000, "n": 2}, ["max_completion_tokens"]),
    (RESPONSES, {"model": PRICED, "input": "x", "max_output_tokens": 64_000}, ["max_output_tokens"]),
    ("/google/v1beta/models/gemini-2.5-pro:generateContent", {"contents": []},
     ["generationConfig", "maxOutputTokens"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "place"), LIMITS)
def test_the_last_call_may_write_what_is_left_of_the_budget(
    tmp_path: Path, path: str, body: dict[str, Any], place: list[str]
) -> None:
    """U10: what is on its way is bounded by the API's own limit, and an answer that ends there is
    the budget's end, whatever the agent makes of it."""
    purse, provider = BudgetedTask(Budget(usd=0.1)), Provider()

    async def work() -> None:
        async with spending(tmp_path / "g.sock", purse, provider) as (client, _):
            await client.post(path, json=body, headers=HEADERS)
            [sent] = provider.requests
            limit: Any = sent
            for name in place:
                limit = limit[name]
            assert 2048 <= limit * sent.get("n", 1) <= 10_000
            told = (await client.get("/rover/v1/evidence", headers=HEADERS)).json()
            assert [a["status"] for a in told["answers"]] == [200]
            if path == CHAT and "n" not in body:
                provider.usage = {"prompt_tokens": 60, "completion_tokens": limit}
                await client.post(path, json=body, headers=HEADERS)
                told = (await client.get("/rover/v1/evidence", headers=HEADERS)).json()
                assert told["answers"][-1]["error"]["code"] == "rover_budget"

    run(work)


def test_thinking_stays_below_the_output_that_is_left() -> None:
    """U10: Anthropic takes no other."""
    body = {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 32_000}}
    for most in (2048, 5000, 40_000):
        new = with_output_limit("/v1/messages", body, most, add=False)
        assert new["max_tokens"] == most
        assert 1024 <= new["thinking"]["budget_tokens"] <= min(32_000, most - 1024)


def test_a_service_that_may_not_know_a_limit_is_sent_none() -> None:
    assert with_output_limit("/v1/responses", {"input": "x"}, 3000, add=False) == {"input": "x"}
    assert (
        with_output_limit("/v1/responses", {"input": "x"}, 3000, add=True)["max_output_tokens"]
        == 3000
    )
