"""What a service behind `base_url` says of its models is asked of that service
alone, and believed as far as names go."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rover_mcp.daemon.served_models import RETRY_SECONDS, ServedModels
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.model_list import MOST_BYTES, names_in
from rover_mcp.gateway.providers import PROVIDERS, Provider

KEY = "sk-proxy-0123456789"


@dataclass
class Service:
    """One that speaks a provider's API. `to`: where it sends those who ask."""

    url: str = ""
    status: int = 200
    to: str = ""
    body: bytes = b'{"data": [{"id": "glm-4.6"}, {"id": "glm-4.5-air"}]}'
    asked: list[tuple[str, dict[str, str]]] = field(
        default_factory=list[tuple[str, dict[str, str]]]
    )

    def access(self, header: str = "authorization") -> ProviderAccess:
        value = f"Bearer {KEY}" if header == "authorization" else KEY
        return ProviderAccess(self.url, header, value, "the account")


def serve(made: Service) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            self.send_response(made.status)
            self.send_header("location", made.to)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    return server


@pytest.fixture(name="services")
def two_services(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, Service]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Service(), Service()
    servers = [serve(service) for service in made]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield made
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def ask(access: ProviderAccess, provider: str = "anthropic") -> tuple[str, ...]:
    async def run() -> tuple[str, ...]:
        gateway = Gateway()
        try:
            return await gateway.served(PROVIDERS[provider], access)
        finally:
            await gateway.aclose()

    return asyncio.run(run())


def test_a_service_is_asked_with_its_own_key_at_its_own_address(
    services: tuple[Service, Service],
) -> None:
    here, _ = services
    assert ask(here.access("x-api-key")) == ("glm-4.6", "glm-4.5-air")
    assert ask(here.access(), "openai") == ("glm-4.6", "glm-4.5-air")
    (first, headers), (second, others) = here.asked
    assert (first, second) == ("/v1/models", "/models")
    assert (headers["x-api-key"], others["authorization"]) == (KEY, f"Bearer {KEY}")
    assert ask(here.access(), "google") == ()
    assert len(here.asked) == 2


def test_no_other_host_is_asked_or_sees_the_key(services: tuple[Service, Service]) -> None:
    here, elsewhere = services
    for status in (301, 302, 303, 307, 308):
        here.status, here.to = status, f"{elsewhere.url}/v1/models"
        assert ask(here.access()) == ()
    assert len(here.asked) == 5
    assert elsewhere.asked == []


def test_a_service_that_does_not_say_it_names_no_models(services: tuple[Service, Service]) -> None:
    here, _ = services
    for status, body in (
        (404, here.body),
        (401, here.body),
        (200, b""),
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (200, json.dumps({"data": "glm"}).encode()),
        (200, b'{"data": [{"id": "glm-4.6"}]}' + b" " * MOST_BYTES),
        (200, json.dumps({"data": [{"id": KEY}]}).encode()),
    ):
        here.status, here.body = status, body
        assert ask(here.access()) == (), body[:50]
    gone = ProviderAccess("http://127.0.0.1:1", "x-api-key", KEY)
    assert ask(gone) == ()
    assert ask(ProviderAccess("http://[", "x-api-key", KEY)) == ()


def test_only_names_are_taken_from_an_answer() -> None:
    listed = ["vendor/m-1:free", "vendor/m-1:free", "--yes", "a b", "a\nb", "x" * 81, "", 3, None]
    entries: list[object] = [*({"id": name} for name in listed), "m", ["m"], {"name": "m"}]
    assert names_in(json.dumps({"data": entries}).encode()) == ("vendor/m-1:free",)
    many = [{"id": f"m-{n}"} for n in range(5000)]
    assert len(names_in(json.dumps({"data": many}).encode())) == 1000


def test_an_answer_is_remembered_and_asked_for_again_later() -> None:
    """Also one that named none."""
    now, asked = [0.0], list[str]()
    answers = {"http://a": (), "http://b": ("m",)}

    def answer(provider: Provider, access: ProviderAccess) -> tuple[str, ...]:
        asked.append(access.base_url)
        return answers[access.base_url]

    served = ServedModels(answer, lambda: now[0])
    a, b = (ProviderAccess(url, "x-api-key", KEY) for url in answers)
    for _ in range(3):
        assert (served.of(PROVIDERS["openai"], a, 60), served.of(PROVIDERS["openai"], b, 60)) == (
            [],
            ["m"],
        )
    assert asked == ["http://a", "http://b"]
    now[0] = RETRY_SECONDS
    served.of(PROVIDERS["openai"], a, 60)
    served.of(PROVIDERS["openai"], b, 60)
    assert asked == ["http://a", "http://b", "http://a"]


def test_a_service_that_does_not_answer_keeps_nobody_waiting() -> None:
    answering = threading.Event()

    def answer(provider: Provider, access: ProviderAccess) -> tuple[str, ...]:
        answering.wait(300)
        return ("m",)

    served = ServedModels(answer)
    access = ProviderAccess("http://a", "x-api-key", KEY)
    assert served.of(PROVIDERS["openai"], access, 0) == []
    answering.set()
    assert served.of(PROVIDERS["openai"], access, 60) == ["m"]
