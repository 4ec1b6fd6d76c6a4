"""What is booked: once, as far as it was told, and before the budget is asked."""

# ruff: noqa: ASYNC110 - nothing else runs on these loops; what is polled is bounded
from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_runner.classify.verdict import classify
from agent_runner.models import Failure, PauseReason, Usage
from rover_mcp.gateway import usage_writer as module
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant, UsageEntry
from rover_mcp.gateway.usage_writer import UsageWriter
from tests.support.fake_anthropic import FakeAnthropic, rate_limit, text
from tests.support.samples import NOW

from .open_gateway import TASK, TOKEN, OpenGateway, access_to, open_gateway
from .test_dialects import CASES, sse
from .test_streams import HEAD, Upstream, chunk

ENTRY = UsageEntry(TASK, "1", 1, NOW, "anthropic", "m", Usage(input_tokens=5))


class UsageInMemory:
    """Books in memory: what each id said last."""

    def __init__(self) -> None:
        self.entries: dict[str, UsageEntry] = {}
        self.writes: list[int] = []
        self.threads: set[int] = set()
        self.fails = 0

    def write(self, entries: Sequence[UsageEntry]) -> None:
        self.threads.add(threading.get_ident())
        if self.fails:
            self.fails -= 1
            raise OSError("no space")
        self.writes.append(len(entries))
        self.entries |= {e.id: e for e in entries}

    @property
    def tokens(self) -> int:
        return sum(e.usage.tokens for e in self.entries.values())


async def opened(
    path: Path, book: UsageInMemory, url: str, used_up: Callable[[], str | None] | None = None
) -> Gateway:
    gateway = Gateway(write=book.write)
    await gateway.open(
        GatewayGrant(
            task_id=TASK,
            attempt=3,
            socket_path=path,
            token=TOKEN,
            providers=frozenset({"anthropic", "openai", "google"}),
            credentials=lambda _: access_to(url),
            on_bell=lambda _: None,
            on_answer=lambda *_: None,
            used_up=used_up,
        )
    )
    return gateway


def test_an_answer_is_in_the_books_by_the_time_that_the_agent_sees_its_end(path: Path) -> None:
    book = UsageInMemory()

    async def run(provider: FakeAnthropic) -> None:
        gateway = await opened(path, book, provider.url)
        async with open_gateway(path.with_name("other.sock"), None) as other:
            here = OpenGateway(gateway, other.lease, _client(path))
            for stream in (False, True):
                await here.ask(stream=stream)
                assert book.tokens == (155 if not stream else 310)
            await here.ask()  # a refusal costs nothing
            await here.client.aclose()
        assert sorted(e.attempt for e in book.entries.values()) == [3, 3]
        assert threading.get_ident() not in book.threads
        await gateway.aclose()

    with FakeAnthropic([text(), text(), rate_limit()]) as provider:
        asyncio.run(run(provider))


def _client(path: Path) -> Any:
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    return httpx2.AsyncClient(transport=transport, base_url="http://gateway", timeout=300)


def test_a_stream_that_is_cut_is_booked_as_far_as_it_told(path: Path) -> None:
    """Loss: the gateway ends in the middle; nothing twice, nothing that was told is lost, and the
    client's retry gets through the next one at the same socket."""
    book = UsageInMemory()
    begun = sse(("message_start", {"message": {"model": "m", "usage": {"input_tokens": 7}}}))
    whole = CASES["anthropic stream"]
    served: list[int] = []

    async def run() -> None:
        seen = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            served.append(len(served))
            if len(served) == 1:
                writer.write(HEAD + chunk(begun))
                await seen.wait()
                await reader.read()
                return
            writer.write(HEAD + chunk(whole.body) + chunk(b""))
            await writer.drain()

        async with Upstream(answer).listening() as url:
            first = await opened(path, book, url)
            headers = {"x-api-key": TOKEN}
            async with _client(path) as client:
                async with client.stream(
                    "POST", "/anthropic/v1/messages", headers=headers
                ) as response:
                    parts = response.aiter_raw()
                    assert await anext(parts) == begun
                    await first.aclose()
                    with pytest.raises(httpx2.TransportError):
                        await anext(parts)
                [cut] = book.entries.values()
                assert (cut.usage.input_tokens, cut.estimated) == (7, True)
                assert 0 < cut.usage.output_tokens < 100
                second = await opened(path, book, url)
                again = await client.post("/anthropic/v1/messages", headers=headers)
                assert again.content == whole.body
            assert [e.usage.tokens for e in book.entries.values() if not e.estimated] == [155]
            assert len(book.entries) == 2
            seen.set()
            await second.aclose()

    asyncio.run(run())


def test_what_a_stream_told_last_is_written_before_a_daemon_ends_in_peace(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it would have been held back."""
    monkeypatch.setattr(module, "INTERVAL", 3600)
    book = UsageInMemory()
    first = sse(("message_start", {"message": {"model": "m", "usage": {"input_tokens": 7}}}))
    more = sse(("message_delta", {"usage": {"output_tokens": 30}}))

    async def run() -> None:
        told, ended = asyncio.Event(), asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + chunk(first))
            await told.wait()
            writer.write(chunk(more))
            await ended.wait()

        async with Upstream(answer).listening() as url:
            gateway = await opened(path, book, url)
            headers = {"x-api-key": TOKEN}
            async with (
                _client(path) as client,
                client.stream("POST", "/anthropic/v1/messages", headers=headers) as response,
            ):
                parts = response.aiter_raw()
                await anext(parts)
                await gateway.written()
                assert book.tokens == 7
                told.set()
                assert await anext(parts) == more
                assert book.tokens == 7
                await gateway.written()
                assert book.tokens == 37
            ended.set()
            await gateway.aclose()

    asyncio.run(run())


def test_an_answer_that_costs_and_tells_no_count_is_estimated(path: Path) -> None:
    """U10. Succeeded at 700cc57: it was booked as nothing."""
    book = UsageInMemory()

    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(HEAD + chunk(sse((None, {"choices": []}))) + chunk(b""))
            await writer.drain()

        async with Upstream(answer).listening() as url:
            gateway = await opened(path, book, url)
            async with _client(path) as client:
                headers = {"authorization": f"Bearer {TOKEN}"}
                await client.post(
                    "/openai/v1/chat/completions",
                    json={"stream": True, "model": "qwen-max"},
                    headers=headers,
                )
                await client.post(
                    "/google/v1beta/models/gem-1:generateContent", json={}, headers=headers
                )
            await gateway.aclose()

    asyncio.run(run())
    found = [(e.model, e.estimated, e.usage) for e in book.entries.values()]
    assert [(model, estimated) for model, estimated, _ in found] == [
        ("qwen-max", True),
        ("gem-1", True),
    ]
    assert all(usage.input_tokens and usage.output_tokens for *_, usage in found)


def test_once_the_budget_is_used_up_no_call_goes_out(path: Path) -> None:
    """The first call that comes after the books say so is refused, as a pause for the budget."""
    book = UsageInMemory()

    def used_up() -> str | None:
        return "it has used 155 of 100 tokens" if book.tokens >= 100 else None

    async def run(provider: FakeAnthropic) -> None:
        gateway = await opened(path, book, provider.url, used_up)
        headers = {"x-api-key": TOKEN}
        body = {"model": "m", "messages": [], "tools": [{"name": "Write"}], "stream": True}
        async with _client(path) as client:
            target = "/anthropic/v1/messages"
            first = await client.post(target, json=body, headers=headers)
            assert first.status_code == 200
            refused = await client.post(target, json=body, headers=headers)
            assert refused.status_code == 400
            assert "budget" in refused.json()["error"]["message"]
            free = await client.post(f"{target}/count_tokens", json=body, headers=headers)
            assert free.status_code == 200
        answers = gateway.answers(TASK)
        error = answers[1].error
        assert error is not None
        failure = Failure("gateway", error.message, status=400, type=error.type, code=error.code)
        assert classify([failure], NOW).reason is PauseReason.BUDGET
        assert [r.path for r in provider.requests] == ["/v1/messages", "/v1/messages/count_tokens"]
        assert book.tokens == 155
        await gateway.aclose()

    with FakeAnthropic() as provider:
        asyncio.run(run(provider))


def test_the_same_answer_told_again_replaces_what_it_said() -> None:
    """And many are written at once: a disk's flush is not paid for each."""
    book = UsageInMemory()

    async def run() -> None:
        usage_writer = UsageWriter(book.write)
        for count in range(50):
            usage_writer.record(replace(ENTRY, usage=Usage(input_tokens=count)))
            usage_writer.record(replace(ENTRY, id="2", usage=Usage(output_tokens=count)))
        await usage_writer.written()
        assert book.writes == [2]
        assert book.tokens == 98
        assert await usage_writer.after(lambda: book.tokens) == 98
        usage_writer.record(replace(ENTRY, id="3"))
        assert await usage_writer.after(lambda: book.tokens) == 103
        await usage_writer.aclose()

    asyncio.run(run())


def test_a_disk_that_fails_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.001)
    book = UsageInMemory()
    book.fails = 2

    async def run() -> None:
        usage_writer = UsageWriter(book.write)
        usage_writer.record(ENTRY)
        await usage_writer.written()
        usage_writer.record(replace(ENTRY, usage=Usage(input_tokens=8)))
        async with asyncio.timeout(300):
            while not book.entries:
                await asyncio.sleep(0.001)
        assert book.tokens == 8
        await usage_writer.aclose()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "usage of model calls cannot be written: no space" in caplog.text
