"""Passes one request on to a provider and its answer back, both streamed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx2

from agent_runner.classify.profiles import name_at
from agent_runner.models import Usage
from rover_mcp.config.certificate_authorities import HINT
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.gateway import request_body
from rover_mcp.gateway.call_estimate import CallEstimate, takes_limit, with_output_limit
from rover_mcp.gateway.credential_redactor import CredentialRedactor
from rover_mcp.gateway.forwarded_call import ForwardedCall, model_in_path
from rover_mcp.gateway.grant import ProviderAccess, ProviderAnswer, ProviderError
from rover_mcp.gateway.http_server import BodyTooLarge, Exchange
from rover_mcp.gateway.prices import PriceList
from rover_mcp.gateway.providers import STATUSES, Provider, ProviderFault, missing_credential
from rover_mcp.gateway.reservations import NoBudget
from rover_mcp.gateway.response_formats import MAX_MODEL, response_format_of
from rover_mcp.gateway.routes import answer_headers, recorded_headers, request_headers
from rover_mcp.gateway.transport import FAILURES, encoding_of, parts
from rover_mcp.gateway.usage_meter import MAX_BODY_BYTES, UsageMeter

_ENCODED = (b"content-encoding", b"content-length")
_OF_THE_BODY = (b"content-type", b"content-length")
CONNECTION_FAILED = "connection_failed"
BUDGET_USED_UP = "rover_budget"
# Of a request that streams through unread: enough to find the model's name if it comes before the
# conversation. If it does not, the price is found by the model that the answer names.
PEEKED_BYTES = 16 * 1024
_MODEL_IN_BODY = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


@dataclass
class Progress:
    """How far an exchange has come, in bytes. `sent`: the provider may have worked on the request;
    `complete`: its answer ended as it should."""

    sent: bool = False
    complete: bool = False
    request_bytes: int = 0
    received: int = 0


class Forwarding:
    """One exchange with a provider. `run` reports the answer each time that more is known."""

    def __init__(
        self,
        exchange: Exchange,
        client: httpx2.AsyncClient,
        credentials: Callable[[str], ProviderAccess | None],
        provider: Provider,
        target: str,
        answer: ProviderAnswer,
        token: str,
        call: ForwardedCall,
        prices: PriceList,
        *,
        within_api: bool = False,
    ) -> None:
        self.call = call
        self._most: int | None = None
        self._prices = prices
        self._within_api = within_api
        self.progress = Progress()
        self._exchange = exchange
        self._client = client
        self._provider = provider
        self._target = target
        self._token = token
        self._credentials = credentials
        self._answer = answer
        self._format = response_format_of(provider.name, target.partition("?")[0])
        self._head = bytearray()

    @property
    def answer(self) -> ProviderAnswer:
        """The answer as far as it is known."""
        return self._answer

    @property
    def bills(self) -> bool:
        """Whether the provider takes money for its answer."""
        return self._format.bills

    async def run(
        self, changed: Callable[[ProviderAnswer], None], complete: Callable[[], Awaitable[None]]
    ) -> None:
        """Forward. What fails on the provider's side is answered and reported, never raised.
        `complete` is awaited before the agent sees the end of an answer."""
        name = self._provider.name
        try:
            access = await asyncio.to_thread(self._credentials, name)
        except EnvironmentFault as fault:
            await self._unauthenticated(changed, f"{fault.message}; {fault.hint}")
            return
        if access is None:
            await self._unauthenticated(changed, missing_credential(name))
            return
        self._answer = replace(
            self._answer, account=access.account, passthrough=access.passthrough,
            digest=access.digest, host=name_at(urlsplit(access.base_url).hostname),
        )  # fmt: skip
        self.progress.sent = True
        try:
            response = await self._client.send(self._request(access), stream=True)
        except BodyTooLarge:
            self.progress.sent = False
            await self._answer_fault(ProviderFault.TOO_LARGE, "the request is larger than 100 MB")
            return
        except (*FAILURES, httpx2.InvalidURL) as failure:
            # A provider that breaks off before the first byte bills nothing; one that was silent
            # until the gateway's time limit may have worked all the while.
            self.progress.sent = isinstance(failure, httpx2.ReadTimeout)
            await self._failed(changed, failure)
            return
        try:
            await self._pass_back(
                response, CredentialRedactor(access.header_value), changed, complete
            )
        except FAILURES as failure:
            await self._failed(changed, failure)
        finally:
            await response.aclose()

    def _request(self, access: ProviderAccess) -> httpx2.Request:
        exchange = self._exchange
        headers = request_headers(
            self._provider, exchange.headers, access, self._token, within_api=self._within_api
        )
        content = self._content(access)
        if content is not None:
            headers = [(n, v) for n, v in headers if n not in _OF_THE_BODY]
            headers.append((b"content-type", b"application/json"))
            self.progress.request_bytes = len(content)
        return self._client.build_request(
            exchange.method,
            access.base_url.rstrip("/") + self._target,
            headers=headers,
            content=content or (self._body() if exchange.has_body else None),
        )

    def limit_output(self, most: int) -> CallEstimate:
        """Let the answer have so many tokens at most; what can be asked for then. A limit that the
        agent did not name may be one that the service does not take."""
        demand, content = self.call.demand, self.call.content
        assert demand is not None  # noqa: S101  # it is read if there is a budget
        assert content is not None  # noqa: S101
        if most >= demand.most_output:
            return demand
        self._most = most
        if takes_limit(self._path, request_body.parse(content)):
            demand = replace(demand, most_output=most)
            self.call = replace(self.call, demand=demand)
        return demand

    def _content(self, access: ProviderAccess) -> bytes | None:
        """Return the body to forward, if it was read."""
        content = self.call.content
        if content is None or self._most is None:
            return content
        # A subscription's backend, and a service behind another base URL, may refuse a limit that
        # the agent did not set. The provider's own API takes one.
        known = access.login is None and access.base_url == self._provider.base_url
        body = with_output_limit(self._path, request_body.parse(content), self._most, add=known)
        return request_body.serialize(body)

    @property
    def _path(self) -> str:
        return self._target.partition("?")[0]

    def cut_short(self) -> ProviderAnswer | None:
        """The refusal of any further call, where this one's answer ended at what was left of the
        budget; None: it did not."""
        usage = self._answer.usage
        if self._most is None or usage is None or usage.output_tokens < self._most:
            return None
        return self._refused(NoBudget("what was left of it did not pay for a complete answer"))

    def _refused(self, no: NoBudget) -> ProviderAnswer:
        cannot = "is used up" if no.used_up else "cannot be kept"
        message = f"Rover: the budget of this task {cannot}: {no.why}"
        error = ProviderError(self._provider.words[ProviderFault.BUDGET], BUDGET_USED_UP, message)
        return replace(self._answer, status=STATUSES[ProviderFault.BUDGET], error=error, usage=None)

    async def _body(self) -> AsyncGenerator[bytes]:
        """The request's body; its beginning may name the model."""
        async for data in self._exchange.body():
            self.progress.request_bytes += len(data)
            if len(self._head) < PEEKED_BYTES:
                self._head += data[: PEEKED_BYTES - len(self._head)]
            yield data

    def asked_model(self) -> str:
        """The model that is asked, as far as it is known; else ""."""
        if self.call.demand:
            return self.call.demand.model
        if in_path := model_in_path(self._target):
            return in_path
        in_body = _MODEL_IN_BODY.search(self._head)
        return in_body[1].decode("utf-8", "replace")[:MAX_MODEL] if in_body else ""

    async def _pass_back(
        self,
        response: httpx2.Response,
        redactor: CredentialRedactor,
        changed: Callable[[ProviderAnswer], None],
        complete: Callable[[], Awaitable[None]],
    ) -> None:
        raw = redactor.headers(response.headers.raw)
        if encoding_of(response):
            raw = [(n, v) for n, v in raw if n.lower() not in _ENCODED]
        self._answer = replace(
            self._answer, status=response.status_code, headers=recorded_headers(raw)
        )
        changed(self._answer)
        meter = self._meter_of(response)
        # A body that does not stream is held back until its usage and errors are recorded: an agent
        # that ends at once must not leave the runner without the evidence.
        held: bytearray | None = None if meter.streams else bytearray()
        if held is None:
            await self._exchange.start(response.status_code, answer_headers(raw))
        async for data in redactor.redact(parts(response)):
            self.progress.received += len(data)
            if meter.feed(data):
                self._learn(meter, changed)
            if held is None:
                await self._exchange.send(data)
                continue
            held += data
            if len(held) > MAX_BODY_BYTES:
                await self._release(response.status_code, raw, held)
                held = None
        meter.end()
        self.progress.complete = True
        self._learn(meter, changed)
        await complete()
        if held is not None:
            await self._release(response.status_code, raw, held)
        await self._exchange.finish()

    def _meter_of(self, response: httpx2.Response) -> UsageMeter:
        kind = response.headers.get("content-type", "")
        # No encoding: what comes encoded has been decoded.
        return UsageMeter(self._format, response.status_code, kind, "")

    async def _release(self, status: int, raw: list[tuple[bytes, bytes]], held: bytearray) -> None:
        """Begin the answer with the part of it that was held back."""
        await self._exchange.start(status, answer_headers(raw))
        await self._exchange.send(bytes(held))

    def _learn(self, meter: UsageMeter, changed: Callable[[ProviderAnswer], None]) -> None:
        model = meter.model or self.asked_model() or None
        usage = self._priced(meter, model)
        latest = replace(self._answer, error=meter.error, usage=usage, model=model)
        if latest != self._answer:
            self._answer = latest
            changed(latest)

    def _priced(self, meter: UsageMeter, model: str | None) -> Usage | None:
        usage = meter.usage
        if usage is None:
            return None
        provider, longer = self._provider.name, meter.cache_write_1h
        cost = self._prices.cost(provider, model, usage, longer, self.asked_model())
        return usage.model_copy(update={"cost_usd": cost})

    async def refuse_spending(
        self, changed: Callable[[ProviderAnswer], None], no: NoBudget
    ) -> None:
        """The task's budget allows no further call, or cannot be kept for this one."""
        refused = self._refused(no)
        changed(refused)
        assert refused.error is not None  # noqa: S101
        await self._answer_fault(ProviderFault.BUDGET, refused.error.message or "")

    async def _unauthenticated(
        self, changed: Callable[[ProviderAnswer], None], message: str
    ) -> None:
        fault = ProviderFault.NO_CREDENTIAL
        error = ProviderError(self._provider.words[fault], "missing_credential", message)
        changed(replace(self._answer, status=STATUSES[fault], error=error))
        await self._answer_fault(fault, message)

    async def _answer_fault(self, fault: ProviderFault, message: str) -> None:
        body = self._provider.error_body(fault, message)
        await self._exchange.answer(STATUSES[fault], body)

    async def _failed(self, changed: Callable[[ProviderAnswer], None], failure: Exception) -> None:
        detail = f"{type(failure).__name__}: {failure}".removesuffix(": ")
        message = f"Rover could not reach the provider ({detail})"
        if "CERTIFICATE_VERIFY_FAILED" in detail:
            message += f"; {HINT}"
        word = self._provider.words[ProviderFault.UNREACHABLE]
        error = ProviderError(word, CONNECTION_FAILED, message)
        answered = self._exchange.answered
        changed(replace(self._answer, status=self._answer.status, error=error))
        if answered:
            # The status line has been sent, so that the only way left to report a failure is to end
            # the connection in the middle, as the provider's ended.
            raise ConnectionResetError(message) from failure
        await self._answer_fault(ProviderFault.UNREACHABLE, message)
