"""Judges a call of a model API, reserves its cost, forwards it, and records what it cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import httpx2

from agent_runner.models import Usage
from rover_mcp.domain.network_policy import NetworkMode
from rover_mcp.gateway.api_restriction import REMEDY, OutsideModelApi
from rover_mcp.gateway.call_estimate import CallEstimate, estimate_unread_call
from rover_mcp.gateway.call_outcome import final_usage
from rover_mcp.gateway.evidence import CallEvidence
from rover_mcp.gateway.forwarded_call import (
    BodyMemory,
    CallRules,
    ForwardedCall,
    read_call,
    refusal_reason,
)
from rover_mcp.gateway.grant import (
    BudgetState,
    GatewayGrant,
    ProviderAnswer,
    Refusal,
    Reserved,
    UsageEntry,
)
from rover_mcp.gateway.http_server import BodyTooLarge, Exchange
from rover_mcp.gateway.prices import PriceList
from rover_mcp.gateway.providers import STATUSES, Provider, ProviderFault
from rover_mcp.gateway.refusals import RefusedHost
from rover_mcp.gateway.request_body import BadBody
from rover_mcp.gateway.reservations import NoBudget, Reservations, WorstCase, worst_case_of
from rover_mcp.gateway.routes import dropped_betas
from rover_mcp.gateway.upstream import Forwarding
from rover_mcp.gateway.usage_writer import UsageWriter


class ModelCalls:
    """The calls of model APIs that one sandbox makes."""

    def __init__(
        self,
        grant: GatewayGrant,
        records: CallEvidence,
        client: httpx2.AsyncClient,
        usage_writer: UsageWriter,
        now: Callable[[], datetime],
        prices: PriceList,
    ) -> None:
        self._grant = grant
        self._records = records
        self._client = client
        self._usage_writer = usage_writer
        self._now = now
        self._prices = prices
        self._room = BodyMemory()
        self._reservations = Reservations(self._standing)
        counted = grant.budget_state is not None
        self._rules = CallRules(grant.network.mode is NetworkMode.PROVIDERS, counted)

    async def forward(self, exchange: Exchange, provider: Provider, target: str) -> None:
        """Forward a request to its provider, or refuse it."""
        try:
            call = await read_call(exchange, provider.name, target, self._rules, self._room)
        except BodyTooLarge:
            message = "the request is larger than the gateway reads"
            await self._fail(exchange, provider, ProviderFault.TOO_LARGE, message)
            return
        except (BadBody, OutsideModelApi) as error:
            await self._refuse(exchange, provider, error)
            return
        self._tell_dropped(exchange, provider, call)
        await self._run(exchange, provider, target, call)

    async def _run(
        self, exchange: Exchange, provider: Provider, target: str, call: ForwardedCall
    ) -> None:
        grant = self._grant
        answer = ProviderAnswer(
            at=self._now(),
            method=exchange.method,
            path=exchange.target.partition("?")[0],
            status=None,
            provider=provider.name,
        )
        forwarding = Forwarding(
            *(exchange, self._client, grant.credentials, provider, target, answer),
            *(grant.token, call, self._prices),
            within_api=self._rules.within_api,
        )
        record = Recording(
            grant, self._records, self._usage_writer, self._now, self._prices, forwarding
        )
        worst: WorstCase | None = None
        try:
            no, worst = await self._reserve(forwarding, record, provider.name)
            if no:
                await forwarding.refuse_spending(record.changed, no)
            else:
                await forwarding.run(record.changed, self._usage_writer.written)
        finally:
            # Also if the agent hung up: the provider bills what it had written by then.
            record.complete(forwarding.call.demand)
            if cut := forwarding.cut_short():
                self._records.add(replace(cut, at=self._now()))
            if worst:
                self._reservations.release(worst)

    async def _reserve(
        self, forwarding: Forwarding, record: Recording, provider: str
    ) -> tuple[NoBudget | None, WorstCase | None]:
        """Return why a call may not be forwarded, or what is reserved for it.

        The reservation is in the store before the call goes out: a daemon that is killed meanwhile
        leaves a record from which the call's cost can be estimated.
        """
        grant, demand = self._grant, forwarding.call.demand
        if not forwarding.bills:
            return None, None
        if demand is None or grant.budget_state is None:
            over = await self._usage_writer.after(grant.used_up) if grant.used_up else None
            return (NoBudget(over) if over else None), None
        if demand.unaccountable:
            return NoBudget(demand.unaccountable, used_up=False), None
        worst = worst_case_of(demand, provider, self._prices)
        granted = await self._reservations.hold(demand, worst, provider, self._prices)
        if isinstance(granted, NoBudget):
            return granted, None
        record.begin(forwarding.limit_output(granted.most_output))
        await self._usage_writer.written()
        return None, worst

    async def _standing(self) -> BudgetState | None:
        read = self._grant.budget_state
        return await self._usage_writer.after(read) if read else None

    def _tell_dropped(self, exchange: Exchange, provider: Provider, call: ForwardedCall) -> None:
        if not self._rules.within_api:
            return
        for what in (*call.dropped, *dropped_betas(exchange.headers)):
            why = "it was taken out of the requests: it is not known to stay within the model API"
            self._grant.on_refused(
                self._grant.task_id, RefusedHost(f"{provider.name}: {what}", why, REMEDY)
            )

    async def _refuse(
        self, exchange: Exchange, provider: Provider, error: BadBody | OutsideModelApi
    ) -> None:
        reason = refusal_reason(error)
        path = exchange.target.partition("?")[0]
        self._records.refusals.append(Refusal(self._now(), exchange.method, path, reason))
        message = f"Rover refused this: {reason}"
        if isinstance(error, OutsideModelApi):
            why = "it is not known to stay within the model API"
            refused = RefusedHost(f"{provider.name}: {error.what}", why, REMEDY)
            self._grant.on_refused(self._grant.task_id, refused)
            message += f"; to allow it: {REMEDY}"
        await self._fail(exchange, provider, ProviderFault.NOT_KEPT, message)

    async def _fail(
        self, exchange: Exchange, provider: Provider, fault: ProviderFault, text: str
    ) -> None:
        await exchange.answer(STATUSES[fault], provider.error_body(fault, text))


class Recording:
    """Records one answer in the evidence for the runner, and its usage in the store."""

    def __init__(
        self,
        grant: GatewayGrant,
        records: CallEvidence,
        usage_writer: UsageWriter,
        now: Callable[[], datetime],
        prices: PriceList,
        forwarding: Forwarding,
    ) -> None:
        self._grant = grant
        self._records = records
        self._usage_writer = usage_writer
        self._now = now
        self._prices = prices
        self._forwarding = forwarding
        self._id = uuid4().hex
        self._begun = now()
        self._reserved: Reserved | None = None
        self._key: int | None = None
        self._answer = forwarding.answer

    def begin(self, demand: CallEstimate) -> None:
        """Store the most that a call can cost before it goes out, until its real cost is known."""
        self._reserved = Reserved(demand.input_tokens, demand.most_output)
        self._record_usage(Usage(), reserved=self._reserved)

    def changed(self, latest: ProviderAnswer) -> None:
        """Record what is newly known of the answer, before the agent sees it: the evidence must be
        complete even if the agent ends at once."""
        if self._key is None:
            self._answer = replace(latest, at=self._now())
            self._key = self._records.add(self._answer)
        else:
            self._answer = replace(latest, at=self._answer.at)
            self._records.update(self._key, self._answer)
        if self._answer.usage:
            complete = self._forwarding.progress.complete
            self._record_usage(self._answer.usage, reserved=None if complete else self._reserved)

    def complete(self, demand: CallEstimate | None) -> None:
        """Record that nothing more of the answer comes."""
        if self._forwarding.bills:
            self._settle(demand)
        if self._key is None:
            return
        self._records.complete(self._key, self._answer)
        self._grant.on_answer(self._grant.task_id, self._answer)

    def _settle(self, demand: CallEstimate | None) -> None:
        forwarding, answer = self._forwarding, self._answer
        if demand is None:
            demand = estimate_unread_call(
                forwarding.asked_model(), forwarding.progress.request_bytes
            )
        seconds = math.ceil((self._now() - self._begun).total_seconds() * 1000) / 1000
        end = final_usage(answer, demand, forwarding.progress, seconds, self._prices)
        if end.usage is not None:
            self._record_usage(
                end.usage, model=answer.model or demand.model, estimated=end.estimated
            )
        elif self._reserved:
            self._record_usage(Usage(), calls=0)

    def _record_usage(
        self,
        usage: Usage,
        *,
        model: str | None = None,
        calls: int = 1,
        reserved: Reserved | None = None,
        estimated: bool = False,
    ) -> None:
        answer = self._answer
        self._usage_writer.record(
            UsageEntry(
                task_id=self._grant.task_id,
                id=self._id,
                attempt=self._grant.attempt,
                at=self._begun,
                provider=answer.provider,
                model=model or answer.model or self._forwarding.asked_model(),
                usage=usage,
                calls=calls,
                reserved=reserved,
                estimated=estimated,
            )
        )
