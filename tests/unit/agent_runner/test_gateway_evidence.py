"""The gateway's evidence and its doorbell, over a real socket."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import Queue
from typing import Any

import anyio
import pytest

from agent_runner.classify.verdict import classify
from agent_runner.gateway_evidence import (
    Calls,
    GatewayEvidence,
    RecordedAnswer,
    calls_in,
    last_failures,
)

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def answer(seconds: int, status: int = 200, **more: Any) -> RecordedAnswer:
    at = NOW + timedelta(seconds=seconds)
    return RecordedAnswer(
        at=at, status=status, path="/v1/messages", **{"provider": "anthropic", **more}
    )


def statuses(*answers: RecordedAnswer) -> list[int | None]:
    return [f.status for f in last_failures(answers, NOW)]


def test_only_the_failures_at_the_end_count_and_a_success_clears_them() -> None:
    assert statuses(answer(1, 500), answer(2, 200)) == []
    assert statuses(answer(1, 500), answer(2, 200), answer(3, 429), answer(4, 529)) == [529, 429]


def test_what_was_before_the_agent_started_does_not_count() -> None:
    assert statuses(answer(-5, 402)) == []
    assert statuses(answer(-5, 402), answer(1, 529)) == [529]


def test_requests_that_are_not_model_calls_do_not_count() -> None:
    assert statuses(
        answer(1, 402), answer(2, 403, provider=None), answer(3, 200, method="GET")
    ) == [402]


def test_calls_are_counted_since_a_moment_and_the_last_of_them_is_named() -> None:
    """D3."""
    answers = [answer(-5), answer(1), answer(2, provider="openai"), answer(3, 429)]
    assert calls_in(answers, NOW) == Calls(2, last_failed=True)
    assert calls_in(answers, NOW, "openai") == Calls(1, last_failed=False)
    assert calls_in(answers, NOW, "google") is None
    assert calls_in([answer(1, method="GET")], NOW) is None


def test_a_free_call_that_works_clears_nothing() -> None:
    free = answer(2).model_copy(update={"path": "/v1/messages/count_tokens?beta=true"})
    assert last_failures([answer(1, 402), free], NOW)[0].status == 402


def test_an_answer_that_never_came_is_a_transient_failure() -> None:
    """D5."""
    found = last_failures([answer(1).model_copy(update={"status": None})], NOW)
    assert classify(found, NOW).transient


def test_an_error_within_a_good_answer_is_a_failure() -> None:
    error = {"type": "overloaded_error", "code": None, "message": "Overloaded"}
    (found,) = last_failures([answer(1, 200, error=error, headers={"Retry-After": "3"})], NOW)
    assert (found.type, found.message, found.source) == (
        "overloaded_error",
        "Overloaded",
        "gateway",
    )
    assert found.headers == {"retry-after": "3"}


@contextmanager
def gateway(path: Path, body: bytes, busy: float = 0) -> Iterator[Queue[str]]:
    """Answers everything with `body`, after so many seconds."""
    heard: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put(f"{self.path} {self.headers['Authorization']}")
            self.send_response(204)
            self.end_headers()

        def do_GET(self) -> None:
            time.sleep(busy)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield heard
        server.shutdown()
        thread.join()


def test_the_gateway_is_asked_and_the_bell_is_heard(tmp_path: Path) -> None:
    body = json.dumps({"answers": [json.loads(answer(1, 402).model_dump_json())]}).encode()
    with gateway(tmp_path / "g", body) as heard:
        evidence = GatewayEvidence(tmp_path / "g", "tok")
        evidence.ring()
        evidence.ring()
        assert heard.get(timeout=300) == "/rover/v1/bell Bearer tok"
        assert heard.get(timeout=300) == "/rover/v1/bell Bearer tok"
        found = anyio.run(evidence.failures, NOW)
        assert [f.status for f in found] == [402]
        assert anyio.run(evidence.calls, NOW) == Calls(0, last_failed=True)
        evidence.close()


def test_a_gateway_with_a_long_path_is_reached_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unix socket's address holds 107 bytes, a data folder's path may be longer."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    body = json.dumps({"answers": [json.loads(answer(1, 402).model_dump_json())]}).encode()
    monkeypatch.chdir(folder)
    with gateway(Path("g"), body) as heard:
        evidence = GatewayEvidence(folder / "g", "tok")
        evidence.ring()
        assert heard.get(timeout=300) == "/rover/v1/bell Bearer tok"
        assert [f.status for f in anyio.run(evidence.failures, NOW)] == [402]
        evidence.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"answers":[{"at":"x"}]}'])
def test_nonsense_from_the_gateway_does_not_count_as_evidence(tmp_path: Path, body: bytes) -> None:
    with gateway(tmp_path / "g", body):
        assert list(anyio.run(GatewayEvidence(tmp_path / "g", "t").failures, NOW)) == []


def test_a_gateway_that_is_gone_disturbs_nothing(tmp_path: Path) -> None:
    evidence = GatewayEvidence(tmp_path / "none", "t")
    evidence.ring()
    assert list(anyio.run(evidence.failures, NOW)) == []
    assert anyio.run(evidence.calls, NOW) is None
    evidence.close()


def test_only_the_providers_own_answers_count() -> None:
    """Two agents side by side: what one account says, says nothing of the other."""
    other = answer(2).model_copy(update={"provider": "openai"})
    assert [f.status for f in last_failures([answer(1, 402), other], NOW, "anthropic")] == [402]
    assert last_failures([answer(1, 402), other], NOW, "openai") == []


def test_a_gateway_that_is_busy_for_seconds_is_still_heard(tmp_path: Path) -> None:
    """Its daemon shares the machine with builds and agents."""
    body = json.dumps({"answers": [json.loads(answer(1, 402).model_dump_json())]}).encode()
    with gateway(tmp_path / "g", body, busy=2.5):
        evidence = GatewayEvidence(tmp_path / "g", "tok")
        assert [f.status for f in anyio.run(evidence.failures, NOW)] == [402]


def test_news_are_asked_for_by_number(tmp_path: Path) -> None:
    with gateway(tmp_path / "g", b'{"answers": [], "last": 7}'):
        evidence = GatewayEvidence(tmp_path / "g", "tok")
        assert anyio.run(evidence.news, 3, 1.0) == 7
    assert anyio.run(GatewayEvidence(tmp_path / "none", "t").news, 0, 1.0) is None


def test_a_wait_for_news_can_be_given_up_at_once(tmp_path: Path) -> None:
    """Nothing of it is left behind that the runner's end would wait for."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "g"))
    listener.listen()

    async def work() -> None:
        with anyio.move_on_after(0.02) as scope:
            await GatewayEvidence(tmp_path / "g", "t").news(0, 600)
        assert scope.cancelled_caught

    before = threading.active_count()
    anyio.run(work)
    assert threading.active_count() <= before
    listener.close()
