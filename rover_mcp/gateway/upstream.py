"""One request passed on to a provider, and its answer back, streamed both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx2

from rover_mcp.errors import EnvironmentFault
from rover_mcp.gateway.http import BodyTooLarge, Exchange
from rover_mcp.gateway.meter import MAX_BODY_BYTES, Meter
from rover_mcp.gateway.models import Answer, ProviderAccess, ProviderError
from rover_mcp.gateway.routes import answer_headers, recorded_headers, request_headers

CONNECTION_FAILED = "connection_failed"

_HOW_TO_CONFIGURE = {
    "anthropic": (
        "set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN) where your assistant is started, or "
        "name a source under credentials.anthropic in Rover's config.yaml"
    )
}


def error_body(kind: str, message: str) -> dict[str, object]:
    """An error as the Anthropic API shapes it (https://docs.claude.com/en/api/errors)."""
    return {"type": "error", "error": {"type": kind, "message": message}}


def missing_credential(provider: str) -> str:
    """What to say where a provider has no credential: what is missing and where it goes."""
    how = _HOW_TO_CONFIGURE.get(provider, f"name a source under credentials.{provider}")
    return f"Rover has no credential for {provider}: {how}"


class Forwarding:
    """One exchange with a provider. `run` reports the answer each time that more is known."""

    def __init__(
        self,
        exchange: Exchange,
        client: httpx2.AsyncClient,
        credentials: Callable[[str], ProviderAccess | None],
        answer: Answer,
    ) -> None:
        self._exchange = exchange
        self._client = client
        self._credentials = credentials
        self._answer = answer

    async def run(self, changed: Callable[[Answer], None]) -> None:
        """Forward. What fails on the provider's side is answered and reported, never raised."""
        provider = self._answer.provider
        try:
            access = await asyncio.to_thread(self._credentials, provider)
        except EnvironmentFault as fault:
            await self._unauthenticated(changed, f"{fault.message}; {fault.hint}")
            return
        if access is None:
            await self._unauthenticated(changed, missing_credential(provider))
            return
        self._answer = replace(self._answer, account=access.account)
        try:
            response = await self._client.send(self._request(access), stream=True)
        except BodyTooLarge:
            await self._exchange.answer(413, error_body("request_too_large", "over 100 MB"))
            return
        except (httpx2.TransportError, httpx2.InvalidURL) as failure:
            await self._failed(changed, failure)
            return
        try:
            await self._pass_back(response, changed)
        except httpx2.TransportError as failure:
            await self._failed(changed, failure)
        finally:
            await response.aclose()

    def _request(self, access: ProviderAccess) -> httpx2.Request:
        exchange = self._exchange
        headers = request_headers(exchange.headers, access.header_name, access.header_value)
        return self._client.build_request(
            exchange.method,
            access.base_url.rstrip("/") + exchange.target,
            headers=headers,
            content=exchange.body() if exchange.has_body else None,
        )

    async def _pass_back(
        self, response: httpx2.Response, changed: Callable[[Answer], None]
    ) -> None:
        raw = response.headers.raw
        meter = Meter(
            response.status_code,
            response.headers.get("content-type", ""),
            response.headers.get("content-encoding", ""),
        )
        self._answer = replace(
            self._answer, status=response.status_code, headers=recorded_headers(raw)
        )
        changed(self._answer)
        # A body that does not stream is held back, so that what it says is recorded first.
        held: bytearray | None = None if meter.streams else bytearray()
        if held is None:
            await self._exchange.start(response.status_code, answer_headers(raw))
        async for chunk in response.aiter_raw():
            meter.feed(chunk)
            self._learn(meter, changed)
            if held is None:
                await self._exchange.send(chunk)
                continue
            held += chunk
            if len(held) > MAX_BODY_BYTES:
                await self._exchange.start(response.status_code, answer_headers(raw))
                await self._exchange.send(bytes(held))
                held = None
        meter.end()
        self._learn(meter, changed)
        if held is not None:
            await self._exchange.start(response.status_code, answer_headers(raw))
            await self._exchange.send(bytes(held))
        await self._exchange.finish()

    def _learn(self, meter: Meter, changed: Callable[[Answer], None]) -> None:
        latest = replace(self._answer, error=meter.error, usage=meter.usage)
        if latest != self._answer:
            self._answer = latest
            changed(latest)

    async def _unauthenticated(self, changed: Callable[[Answer], None], message: str) -> None:
        error = ProviderError("authentication_error", "missing_credential", message)
        changed(replace(self._answer, status=401, error=error))
        await self._exchange.answer(401, error_body("authentication_error", message))

    async def _failed(self, changed: Callable[[Answer], None], failure: Exception) -> None:
        detail = f"{type(failure).__name__}: {failure}".removesuffix(": ")
        message = f"Rover could not reach the provider ({detail})"
        error = ProviderError("api_error", CONNECTION_FAILED, message)
        answered = self._exchange.answered
        changed(replace(self._answer, status=self._answer.status, error=error))
        if answered:
            # Too late for a status: the connection ends in the middle, as the provider's did.
            raise ConnectionResetError(message) from failure
        await self._exchange.answer(502, error_body("api_error", message))
