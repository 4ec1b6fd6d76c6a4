"""The fake provider: as others start it, in a process of its own, and what its APIs answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.fake_models import FakeModels
from tests.support.models.turns import (
    Behaviour,
    auth,
    bash,
    credit,
    cut,
    overloaded,
    rate_limit,
    reset,
    server_error,
    slow,
    stream_overloaded,
    text,
    usage_window,
    write,
)

ROOT = Path(__file__).parents[4]
WRITE = {
    "type": "object",
    "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["file_path", "content"],
}
SHELL = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}},
        "why": {"type": "string"},
    },
    "required": ["command", "why"],
}
USER = [{"role": "user", "content": "hi"}]
ASK = {"model": "m", "tools": [{"name": "Write", "input_schema": WRITE}], "messages": USER}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/anthropic/v1/messages", ASK),
    "responses": (
        "/openai/v1/responses",
        {"model": "m", "input": USER, "tools": [{"name": "shell", "parameters": SHELL}]},
    ),
    "chat": (
        "/openai/v1/chat/completions",
        {
            "model": "m",
            "messages": USER,
            "tools": [{"function": {"name": "write", "parameters": WRITE}}],
        },
    ),
    "gemini": (
        "/google/v1beta/models/m:generateContent",
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "write_file", "parameters": WRITE}]}],
        },
    ),
}


def test_it_plays_a_plan_from_a_process_of_its_own(tmp_path: Path) -> None:
    plan = [{"do": "write", "path": "a.txt", "content": "A"}, {"do": "credit", "times": 2}]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.fake_models"),
            *("--plan", str(tmp_path / "plan.json"), "--port-file", str(tmp_path / "port")),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / "port").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        url = f"http://127.0.0.1:{(tmp_path / 'port').read_text()}"
        with httpx2.Client(base_url=url, headers={"x-api-key": "k"}, timeout=300) as client:
            first = client.post("/v1/messages", json=ASK).json()
            written = {"file_path": "/workspace/a.txt", "content": "A"}
            assert first["content"][0]["input"] == written
            # A side request takes nothing from the plan, but an empty account is empty for all.
            assert client.post("/v1/messages", json={**ASK, "tools": []}).status_code == 400
            answers = [client.post("/v1/messages", json=ASK).status_code for _ in "123"]
            assert answers == [400, 400, 200]
            side = client.post("/v1/messages", json={**ASK, "tools": []})
            assert side.json()["content"][0]["text"] == "Done."
            assert client.post("/v1/messages/count_tokens", json=ASK).json()["input_tokens"] > 0
            client.post("/__fake/push", json=[{"do": "overloaded"}])
            assert client.post("/v1/messages", json=ASK).status_code == 529
            seen = client.get("/__fake/requests").json()
        assert [r["answered"] for r in seen][:4] == ["write", "credit", "credit", "credit"]
        assert (seen[0]["api_key"], seen[0]["texts"], seen[0]["main"]) == ("k", ["hi"], True)
    finally:
        assert process.stdin
        process.stdin.close()
        assert process.wait(300) == 0


def call_in(dialect: str, answer: dict[str, Any]) -> Any:
    """The arguments of the tool call in an answer."""
    if dialect == "anthropic":
        return answer["content"][0]["input"]
    if dialect == "responses":
        return json.loads(answer["output"][0]["arguments"])
    if dialect == "chat":
        (call,) = answer["choices"][0]["message"]["tool_calls"]
        return json.loads(call["function"]["arguments"])
    return answer["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]


@pytest.mark.parametrize("dialect", CALLS)
def test_each_api_calls_the_agents_own_tool_by_its_schema(dialect: str) -> None:
    path, ask = CALLS[dialect]
    with FakeModels() as provider, httpx2.Client(base_url=provider.url, timeout=300) as client:
        session = provider.session("one")
        session.push(write("a.txt", "A") if dialect != "responses" else bash("echo A"))
        answer = client.post(f"/s/one{path}", json=ask, headers={"authorization": "Bearer k"})
        given = call_in(dialect, answer.json())
        if dialect == "responses":
            assert given == {"command": ["bash", "-lc", "echo A"], "why": "it"}
        else:
            assert given == {"file_path": "/workspace/a.txt", "content": "A"}
        (seen,) = session.main_requests
        assert (seen.dialect, seen.key, seen.texts, seen.messages) == (dialect, "k", ["hi"], 1)
        assert provider.requests == []


@pytest.mark.parametrize("dialect", CALLS)
def test_each_api_streams_and_breaks_off(dialect: str) -> None:
    path, ask = CALLS[dialect]
    path = path.replace(":generate", ":streamGenerate")
    with FakeModels() as provider, httpx2.Client(base_url=provider.url, timeout=300) as client:
        provider.push(slow("one-two-", 2, 0), stream_overloaded(), cut())
        whole = client.post(path, json={**ask, "stream": True}).text
        assert all(word in whole for word in ("one-", "two-"))
        assert "verloaded" in client.post(path, json={**ask, "stream": True}).text
        with pytest.raises(httpx2.TransportError):
            client.post(path, json={**ask, "stream": True})


ERRORS: list[tuple[Behaviour, dict[str, int]]] = [
    (credit(), {"anthropic": 400, "openai": 429, "google": 429}),
    (usage_window(60), {"anthropic": 429, "openai": 429, "google": 429}),
    (rate_limit(7), {"anthropic": 429, "openai": 429, "google": 429}),
    (rate_limit(None), {"anthropic": 429, "openai": 429, "google": 429}),
    (overloaded(), {"anthropic": 529, "openai": 503, "google": 503}),
    (server_error(), {"anthropic": 500, "openai": 500, "google": 500}),
    (auth(), {"anthropic": 401, "openai": 401, "google": 400}),
]


@pytest.mark.parametrize("dialect", CALLS)
def test_each_api_fails_in_its_own_shape(dialect: str) -> None:
    path, ask = CALLS[dialect]
    who = {"responses": "openai", "chat": "openai", "gemini": "google"}.get(dialect, dialect)
    with FakeModels() as provider, httpx2.Client(base_url=provider.url, timeout=300) as client:
        for behaviour, status in ERRORS:
            provider.push(behaviour)
            answer = client.post(path, json=ask)
            assert answer.status_code == status[who], behaviour
            assert answer.json()["error"]["message"]
            assert answer.headers.get("retry-after") == (
                f"{behaviour.get('retry_after', behaviour.get('resets_in')):g}"
                if _tells_when(who, behaviour)
                else None
            )


def _tells_when(provider: str, behaviour: Behaviour) -> bool:
    """Whether it comes with a retry-after; Google tells its delays in the body."""
    if behaviour["do"] == "usage_window":
        return provider == "anthropic"
    return provider != "google" and behaviour.get("retry_after") is not None


def test_a_session_is_also_chosen_by_a_word_in_the_text() -> None:
    with FakeModels() as provider, httpx2.Client(base_url=provider.url, timeout=300) as client:
        provider.session("b").push(text("for b"))
        ask = {**ASK, "messages": [{"role": "user", "content": "do it [session:b]"}]}
        assert "for b" in client.post("/anthropic/v1/messages", json=ask).text
        assert len(provider.session("b").requests) == 1
        provider.session("b").push(reset())
        with pytest.raises(httpx2.TransportError):
            client.post("/anthropic/v1/messages", json=ask)
