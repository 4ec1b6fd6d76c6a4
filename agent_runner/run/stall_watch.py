"""Waiting that is pointless: an agent is stopped that sleeps on an error which only a pause mends.

Some agents obey a `retry-after` of hours, or try again for minutes, and say nothing meanwhile
(facts/agents.md, 0.3 and 0.4). The gateway sees the provider's answer first hand, so beside each
turn it is asked, by one request that it answers as soon as there is news. An agent gets a moment
to end by itself: its own fields may say more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import anyio

from agent_runner.agents.protocol import AgentFailed, AgentOutcome
from agent_runner.classify.verdict import Verdict, classify
from agent_runner.evidence import Evidence
from agent_runner.journal.journal import Clock
from agent_runner.models import Failure

GRACE = 2.0
"""Seconds for the agent's own end."""

NEWS_WAIT = 60.0
"""Seconds that one request for news may take."""

UNREACHABLE_WAIT = 5.0
"""Seconds until a gateway that cannot be asked is asked again: it may be starting anew."""

MOST_TRIES = 4
"""Failures in a row after which an agent that still tries is stopped: the runner waits better."""

Sleep = Callable[[float], Awaitable[None]]


class Pointless(AgentFailed):
    """The agent was stopped: the gateway saw what it waits for, and that takes too long."""


def is_pointless(
    failures: Sequence[Failure], verdict: Verdict, wait_in_place: float, now: datetime
) -> bool:
    """Whether an agent that met these failures, the newest first, should not go on trying. What
    is fatal is left to the agent: it may know another way."""
    if not failures or verdict.reason is None:
        return False
    if not verdict.transient or len(failures) >= MOST_TRIES:
        return True
    return verdict.retry_at is not None and (
        (verdict.retry_at - now).total_seconds() > wait_in_place
    )


class Watch:
    """The gateway's view of one turn that began at `since`. `provider` is whose answers count."""

    def __init__(
        self,
        evidence: Evidence,
        since: datetime,
        provider: str | None,
        wait_in_place: float,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._evidence = evidence
        self._since = since
        self._provider = provider
        self._wait_in_place = wait_in_place
        self._clock = clock
        self._sleep = sleep

    async def run(self, work: Callable[[], Awaitable[AgentOutcome]]) -> AgentOutcome:
        """Do the work, and end it where it only waits.

        Raises:
            Pointless: it was ended; with the gateway's failure.
            Exception: whatever the work raises.
        """
        stalled: list[Failure] = []
        try:
            async with anyio.create_task_group() as group:

                async def look() -> None:
                    stalled.append(await self._until_pointless())
                    group.cancel_scope.cancel()

                group.start_soon(look)
                outcome = await work()
                group.cancel_scope.cancel()
                return outcome
        except ExceptionGroup as errors:
            # Only the work raises; a driver's own errors are handled by who asked for it.
            (error,) = errors.exceptions
            raise error from error.__cause__
        raise Pointless(stalled[0])

    async def _until_pointless(self) -> Failure:
        after = 0
        while True:
            if await self._judge() is not None:
                await self._sleep(GRACE)
                # Something that went well in the meantime clears it.
                if (failure := await self._judge()) is not None:
                    return failure
            last = await self._evidence.news(after, NEWS_WAIT)
            if last is None:
                await self._sleep(UNREACHABLE_WAIT)
            else:
                after = last

    async def _judge(self) -> Failure | None:
        """The failure that makes waiting pointless, if there is one."""
        failures = await self._evidence.failures(self._since, self._provider)
        now = self._clock()
        verdict = classify(failures, now)
        return failures[0] if is_pointless(failures, verdict, self._wait_in_place, now) else None
