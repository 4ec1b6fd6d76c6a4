"""The gateway over its real socket, against a real HTTP server on loopback."""

# ruff: noqa: ASYNC110, ASYNC240 - nothing else runs on these loops; what is polled is bounded
from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant, ProviderAccess
from tests.support.fake_anthropic import CREDIT_MESSAGE, FakeAnthropic, credit, rate_limit, text

from .open_gateway import ASK, KEY, TASK, TOKEN, OpenGateway, access_to, open_gateway, through


def test_the_real_key_goes_out_and_the_token_does_not(path: Path) -> None:
    """Credentials stay in the gateway; the agent's token is worth nothing elsewhere."""

    async def work(here: OpenGateway, provider: FakeAnthropic) -> None:
        answer = await here.ask()
        assert answer.json()["content"][0]["text"] == "hello"
        seen = provider.requests[0]
        assert seen.path == "/v1/messages?beta=true"
        assert (seen.api_key, seen.authorization) == (KEY, None)
        assert TOKEN not in json.dumps(seen.headers)
        assert seen.headers["anthropic-version"] == "2023-06-01"
        assert seen.headers["accept-encoding"] == "identity"
        assert KEY not in str(answer.headers) + answer.text + json.dumps(await here.evidence())

    through(path, [text("hello")], work)


def test_usage_is_read_from_streams_and_bodies_alike(path: Path) -> None:
    """The gateway counts tokens, output and cache included."""

    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        await here.ask()
        await here.ask(stream=True)
        first, second = here.answers
        assert first.usage
        assert first.usage == second.usage
        assert first.usage.model_dump() == {
            "input_tokens": 100,
            "output_tokens": 25,
            "cache_read_tokens": 20,
            "cache_write_tokens": 10,
            "cost_usd": None,
        }
        assert here.gateway.usage(TASK).output_tokens == 50
        assert here.told == here.answers

    through(path, [text(), text()], work)


def test_a_provider_error_is_recorded_before_the_agent_sees_its_end(path: Path) -> None:
    """D3: first-hand evidence, complete by the time that the agent can end."""

    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        answer = await here.ask()
        assert answer.status_code == 400
        limited = await here.ask()
        assert limited.headers["retry-after"] == "30"
        found = (await here.evidence())["answers"]
        assert found[0]["status"] == 400
        assert found[0]["error"] == {
            "type": "invalid_request_error",
            "code": None,
            "message": CREDIT_MESSAGE,
            "body": json.dumps(
                {"error": {"type": "invalid_request_error", "message": CREDIT_MESSAGE}}
            ),
        }
        assert found[0]["provider"] == "anthropic"
        assert "account" not in found[0]
        assert found[1]["headers"] == {"retry-after": "30", "request-id": "req_fake"}
        assert here.answers[0].account == "the account"

    through(path, [credit(), rate_limit(30)], work)


def test_an_error_inside_a_stream_is_recorded(path: Path) -> None:
    """An overload can come after 200."""

    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        await here.ask(stream=True)
        (answer,) = here.answers
        assert answer.status == 200
        assert answer.error
        assert answer.error.type == "overloaded_error"
        assert answer.usage
        assert answer.usage.input_tokens == 100

    through(path, [{"do": "stream_error"}], work)


@pytest.mark.parametrize(
    ("method", "target", "told"),
    [
        ("POST", "/api/event_logging/batch", "/api/event_logging/batch"),
        ("POST", "/v1/messages", "/v1/messages"),
        ("GET", "/anthropic/v1/files", "/v1/files"),
        ("GET", "/anthropic/v1/models/../files", "/v1/models/../files"),
        ("DELETE", "/anthropic/v1/messages", "DELETE /anthropic/v1/messages"),
        ("POST", "/anthropic/v1/messages/", "/v1/messages/"),
    ],
)
def test_everything_else_is_refused_and_named(
    path: Path, method: str, target: str, told: str
) -> None:
    """It logs what it refused."""

    async def work(here: OpenGateway, provider: FakeAnthropic) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(
            f"{method} {target} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {TOKEN}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 403 ")
        error = json.loads(body)["error"]
        assert error["type"] == "permission_error"
        assert told in error["message"]
        (refusal,) = here.gateway.refusals(TASK)
        assert (refusal.method, refusal.target) == (method, target)
        assert (await here.evidence())["refused"][0]["target"] == target
        assert (provider.requests, here.answers) == ([], [])
        writer.close()

    through(path, [], work)


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "wrong"}, {"authorization": f"Basic {TOKEN}"}, {"x-api-key": KEY}]
)
@pytest.mark.parametrize("target", ["/anthropic/v1/messages", "/rover/v1/bell"])
def test_nothing_passes_without_the_token(path: Path, headers: Any, target: str) -> None:
    async def work(here: OpenGateway, provider: FakeAnthropic) -> None:
        answer = await here.client.post(target, json=ASK, headers=headers)
        assert answer.status_code == 403
        assert "token" in answer.json()["error"]["message"]
        assert (provider.requests, here.bells) == ([], [])

    through(path, [], work)


def test_the_bell_rings(path: Path) -> None:
    """The runner says that the journal grew."""

    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = await here.client.post("/rover/v1/bell", headers=headers)
        assert (answer.status_code, answer.content, here.bells) == (204, b"", [TASK])

    through(path, [], work)


def test_without_a_credential_the_answer_says_which_and_where(path: Path) -> None:
    """D9: none to be had, with what is missing."""

    async def run() -> None:
        async with open_gateway(path, None) as here:
            answer = await here.ask()
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
            assert "ANTHROPIC_API_KEY" in answer.json()["error"]["message"]
            (recorded,) = here.answers
            assert recorded.status == 401
            assert recorded.error
            assert recorded.error.code == "missing_credential"
            assert here.told == [recorded]

    asyncio.run(run())


def test_a_credential_that_cannot_be_fetched_says_why(path: Path) -> None:
    def broken(_: str) -> ProviderAccess | None:
        raise EnvironmentFault("`pass` is locked", hint="unlock it")

    async def run() -> None:
        async with open_gateway(path, broken) as here:
            answer = await here.ask()
            assert answer.status_code == 401
            assert answer.json()["error"]["message"] == "`pass` is locked; unlock it"

    asyncio.run(run())


def test_a_subscription_token_goes_as_bearer_with_its_beta(path: Path) -> None:
    async def run(provider: FakeAnthropic) -> None:
        access = ProviderAccess(provider.url, "authorization", "Bearer oat", None)
        async with open_gateway(path, access) as here:
            await here.ask()
            seen = provider.requests[0]
            assert (seen.api_key, seen.authorization) == (None, "Bearer oat")
            assert seen.headers["anthropic-beta"] == "oauth-2025-04-20"

    with FakeAnthropic() as provider:
        asyncio.run(run(provider))


def test_a_provider_that_cannot_be_reached_is_a_502_and_recorded(path: Path) -> None:
    """D5: transient; status None tells that no answer came."""

    async def run() -> None:
        async with open_gateway(path, access_to("http://127.0.0.1:1")) as here:
            answer = await here.ask()
            assert answer.status_code == 502
            assert answer.json()["error"]["type"] == "api_error"
            (recorded,) = here.answers
            assert recorded.status is None
            assert recorded.error
            assert recorded.error.code == "connection_failed"

    asyncio.run(run())


def test_a_reset_by_the_provider_is_recorded(path: Path) -> None:
    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        assert (await here.ask()).status_code == 502
        assert here.answers[0].error
        assert here.answers[0].error.code == "connection_failed"

    through(path, [{"do": "reset"}], work)


def test_the_records_are_bounded(path: Path) -> None:
    """What grows has a limit, and says so there."""

    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        for _number in range(60):
            await here.ask()
        assert len(here.answers) == 50
        assert here.gateway.usage(TASK).output_tokens == 60 * 25

    through(path, [], work)


def test_opening_again_replaces_a_stale_socket_and_keeps_the_records(path: Path) -> None:
    """The next daemon serves the same socket."""

    async def work(here: OpenGateway, provider: FakeAnthropic) -> None:
        await here.ask()
        inode = path.lstat().st_ino
        await here.gateway.open(here.lease)
        assert path.lstat().st_ino == inode
        # As after a crash: the file is there, nobody listens.
        other = Gateway()
        await other.open(here.lease)
        assert path.lstat().st_ino != inode
        await here.client.aclose()
        transport = httpx2.AsyncHTTPTransport(uds=str(path))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://g", timeout=300
        ) as client:
            assert (
                await client.post("/anthropic/v1/messages", json=ASK, headers={"x-api-key": TOKEN})
            ).status_code == 200
        assert len(other.answers(TASK)) == 1
        await here.gateway.close(TASK)
        assert path.exists()  # the other's
        await other.aclose()
        assert not path.exists()
        assert len(provider.requests) == 2

    through(path, [], work)


def test_the_agents_user_can_connect(path: Path) -> None:
    async def work(_: OpenGateway, __: FakeAnthropic) -> None:
        assert path.lstat().st_mode & 0o777 == 0o666
        assert path.parent.stat().st_mode & 0o777 == 0o755

    through(path, [], work)


def test_a_path_beyond_a_socket_address_works(tmp_path: Path) -> None:
    """unix(7): 107 bytes."""
    long = tmp_path / ("d" * 100) / "gateway.sock"

    async def run() -> None:
        gateway = Gateway()
        nothing = lambda *_: None  # noqa: E731
        await gateway.open(
            GatewayGrant(TASK, 1, long, TOKEN, frozenset(), nothing, nothing, nothing)
        )
        assert long.is_socket()
        assert [p.name for p in long.parent.iterdir()] == ["gateway.sock"]
        await gateway.aclose()

    asyncio.run(run())


def test_something_else_at_the_path_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")

    async def run() -> None:
        nothing = lambda *_: None  # noqa: E731
        with pytest.raises(EnvironmentFault, match="not a socket"):
            await Gateway().open(
                GatewayGrant(TASK, 1, path, TOKEN, frozenset(), nothing, nothing, nothing)
            )

    asyncio.run(run())
    assert path.read_text() == "precious"


def test_closing_ends_what_passes_through(path: Path) -> None:
    async def work(here: OpenGateway, provider: FakeAnthropic) -> None:
        asking = asyncio.ensure_future(here.ask())
        async with asyncio.timeout(300):
            while not provider.requests:
                await asyncio.sleep(0.002)
            await here.gateway.close(TASK)
            with pytest.raises(httpx2.TransportError):
                await asking
        assert here.gateway.answers(TASK) == []
        assert not path.exists()

    through(path, [{"do": "hang"}], work)


def test_a_request_that_is_not_http_is_refused_and_the_gateway_goes_on(path: Path) -> None:
    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        for content in (b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(content)
            assert (await reader.read()).startswith(b"HTTP/1.1 4")
            writer.close()
        assert (await here.ask()).status_code == 200

    through(path, [], work)


def test_a_body_beyond_the_limit_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything has a cap, and says so."""
    monkeypatch.setattr("rover_mcp.gateway.http_server.MAX_REQUEST_BYTES", 100_000)

    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        answer = await here.ask(system="x" * 200_000)
        assert answer.status_code == 413
        assert answer.json()["error"]["type"] == "request_too_large"

    through(path, [], work)


def test_one_connection_carries_many_requests(path: Path) -> None:
    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        for _number in range(3):
            assert (await here.ask()).status_code == 200
            assert (await here.client.get("/nothing")).status_code == 403
        models = await here.client.get("/anthropic/v1/models", headers={"x-api-key": TOKEN})
        assert models.json()["data"][0]["id"] == "claude-fake"

    through(path, [], work)
