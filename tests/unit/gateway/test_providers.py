"""Three providers behind one opened: paths, tokens, credentials, errors (M2)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS

from .open_gateway import KEY, TOKEN, open_gateway
from .test_streams import Upstream

MODELS = ("anthropic", "openai", "google")
CREDENTIALS = {
    "anthropic": ("x-api-key", KEY),
    "openai": ("authorization", f"Bearer {KEY}"),
    "google": ("x-goog-api-key", KEY),
}


@dataclass
class ProviderLog:
    """What a provider got: request lines and headers, as text."""

    heads: list[str] = field(default_factory=list[str])

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            if "content-length: " in head:
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            body = b"{}"
            headers = f"content-length: {len(body)}\r\nx-ratelimit-remaining-tokens: 7"
            writer.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body)
            await writer.drain()


def asked(
    path: Path, targets: list[tuple[str, str, dict[str, str]]], providers: Any = MODELS
) -> tuple[ProviderLog, list[Any], Any]:
    seen = ProviderLog()
    answers: list[Any] = []
    recorded: list[Any] = []

    async def run() -> None:
        async with Upstream(seen.answer).listening() as url:

            def access(name: str) -> ProviderAccess:
                header, value = CREDENTIALS[name]
                base = f"{url}/v1" if name == "openai" else url
                return ProviderAccess(base, header, value)

            async with open_gateway(path, access, providers) as here:
                for method, target, headers in targets:
                    content = b"{}" if method == "POST" else None
                    answers.append(
                        await here.client.request(method, target, headers=headers, content=content)
                    )
                recorded.extend(here.answers)

    asyncio.run(run())
    return seen, answers, recorded


@pytest.mark.parametrize(
    ("method", "target", "upstream"),
    [
        ("POST", "/anthropic/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("POST", "/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("POST", "/openai/v1/responses", "/v1/responses"),
        ("POST", "/openai/v1/chat/completions", "/v1/chat/completions"),
        ("GET", "/openai/v1/models?client_version=1", "/v1/models?client_version=1"),
        (
            "POST",
            "/google/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            "POST",
            "/google/v1beta/models/gemini-2.5-pro:generateContent",
            "/v1beta/models/gemini-2.5-pro:generateContent",
        ),
        (
            "POST",
            "/google/v1beta/models/gemini-2.5-pro:countTokens",
            "/v1beta/models/gemini-2.5-pro:countTokens",
        ),
    ],
)
def test_each_provider_has_its_own_paths(
    path: Path, method: str, target: str, upstream: str
) -> None:
    seen, answers, recorded = asked(path, [(method, target, {"x-api-key": TOKEN})])
    assert answers[0].status_code == 200
    assert seen.heads[0].startswith(f"{method} {upstream} HTTP/1.1\r\n")
    provider = target.split("/")[1]
    header, value = CREDENTIALS[provider]
    assert f"{header}: {value}\r\n" in seen.heads[0]
    assert TOKEN not in seen.heads[0]
    assert recorded[0].provider == provider
    # Whichever it is: its base URL may be a proxy's, or another provider's.
    assert recorded[0].headers == {"x-ratelimit-remaining-tokens": "7"}


@pytest.mark.known_escape(6)
@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"x-api-key": TOKEN}),
        ("", {"Authorization": f"Bearer {TOKEN}"}),
        ("", {"X-Goog-Api-Key": TOKEN}),
        (f"?key={TOKEN}&a=1", {}),
        (f"?a=1&%6bey={TOKEN}&key=another", {}),
    ],
)
def test_the_token_is_taken_where_agents_put_a_key_and_never_goes_on(
    path: Path, provider: str, query: str, headers: dict[str, str]
) -> None:
    target = PROVIDERS[provider].prefix + ("/models" if provider == "openai" else "/v1/models")
    seen, answers, _ = asked(path, [("GET", target + query, headers)])
    assert answers[0].status_code == 200
    assert TOKEN not in seen.heads[0]
    assert "another" not in seen.heads[0]
    assert ("?a=1 HTTP" in seen.heads[0]) is bool(query)


@pytest.mark.parametrize(
    ("provider", "target", "told"),
    [
        ("anthropic", "/anthropic/v1/messages", {"type": "permission_error"}),
        ("openai", "/openai/v1/responses", {"type": "permission_error", "param": None}),
        ("google", "/google/v1beta/models/m:generateContent", {"status": "PERMISSION_DENIED"}),
    ],
)
def test_a_task_reaches_only_the_providers_of_its_own_agents(
    path: Path, provider: str, target: str, told: dict[str, Any]
) -> None:
    """M2; and the refusal has the shape that the agent knows."""
    others = [name for name in MODELS if name != provider]
    seen, answers, recorded = asked(path, [("POST", target, {"x-api-key": TOKEN})], others)
    assert (seen.heads, recorded) == ([], [])
    assert answers[0].status_code == 403
    error = answers[0].json()["error"]
    assert error["message"] == f"Rover refused this: no agent of this task uses {provider}."
    assert told.items() <= error.items()


@pytest.mark.parametrize(
    "target",
    [
        "/openai/v1/embeddings",
        "/openai/responses",
        "/openai/v1/responses/../files",
        "/openai/v1/models/%2e%2e/files",
        "/google/v1beta/models/m:predict",
        "/google/v1beta/files",
        "/google/upload/v1beta/files",
        "/anthropic/v1/messages/batches",
        "/anthropic//v1/messages",
        "/mistral/v1/chat/completions",
    ],
)
def test_other_paths_of_a_provider_are_refused(path: Path, target: str) -> None:
    asking = [(method, target, {"x-api-key": TOKEN}) for method in ("POST", "GET")]
    seen, answers, _ = asked(path, asking)
    assert seen.heads == []
    assert [a.status_code for a in answers] == [403, 403]


@pytest.mark.parametrize("provider", MODELS)
def test_faults_have_the_providers_shape(path: Path, provider: str) -> None:
    target = {
        "anthropic": "/anthropic/v1/messages",
        "openai": "/openai/v1/chat/completions",
        "google": "/google/v1beta/models/m:generateContent",
    }[provider]

    async def run() -> None:
        async with open_gateway(path, None, MODELS) as here:
            answer = await here.client.post(target, json={}, headers={"x-api-key": TOKEN})
            error = answer.json()["error"]
            assert answer.status_code == 401
            assert PROVIDERS[provider].variables[0].name in error["message"]
            assert f"credentials.{provider}" in error["message"]
            shape = {
                "anthropic": {"type", "message"},
                "openai": {"type", "message", "param", "code"},
                "google": {"code", "message", "status"},
            }
            assert set(error) == shape[provider]
            assert json.loads(answer.content).get("type") == (
                "error" if provider == "anthropic" else None
            )

    asyncio.run(run())


def test_an_agents_own_log_in_goes_on_and_the_token_does_not(path: Path) -> None:
    """Where the user asked for it: what authorizes it here is told beside it."""
    seen = ProviderLog()

    async def run() -> None:
        async with Upstream(seen.answer).listening() as url:
            access = ProviderAccess(f"{url}/backend-api", "", "", "own", passthrough=True)
            async with open_gateway(path, access, ("openai",)) as here:
                headers = {
                    "x-api-key": TOKEN,
                    "authorization": "Bearer the-log-in",
                    "chatgpt-account-id": "acc",
                    "cookie": "c=1",
                }
                target = "/openai/v1/responses"
                await here.client.post(target, content=b"{}", headers=headers)
                for only in ("Bearer the-log-in", f"Bearer {TOKEN}"):
                    await here.client.post(target, content=b"{}", headers={"authorization": only})

    asyncio.run(run())
    first, second = (head.lower() for head in seen.heads)
    assert first.startswith("post /backend-api/responses http/1.1")
    assert "authorization: bearer the-log-in" in first
    assert "chatgpt-account-id: acc" in first
    assert not {"cookie", TOKEN, "x-api-key"} & set(first.replace(":", " ").split())
    assert "authorization" not in second
    assert TOKEN not in first + second
