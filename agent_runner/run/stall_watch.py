"""Stops an agent that waits for what only a pause can end, by what the gateway saw of its turn.

Agents retry for minutes, or obey a `retry-after` of any length, and print nothing meanwhile:
opencode 1.18 slept through 10,800 seconds. The gateway has seen the provider's answer, so it is
asked while a turn runs, by one request that it answers as soon as there is news. An agent gets a
moment to end on its own: its own error may say more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from agent_runner.agents.protocol import AgentFailed, AgentOutcome
from agent_runner.gateway_evidence import Evidence
from agent_runner.journal.journal import Clock
from agent_runner.models import Failure

if TYPE_CHECKING:
    from agent_runner.classify.verdict import Verdict

GRACE = 2.0
"""Seconds for the agent's own end."""

NEWS_WAIT = 60.0
"""Seconds that one request for news may take."""

UNREACHABLE_WAIT = 5.0
"""Seconds until a gateway that cannot be asked is asked again: it may be restarting."""

MOST_TRIES = 4
"""Failures in a row after which an agent that still tries is stopped: the runner waits better."""

Sleep = Callable[[float], Awaitable[None]]


class PointlessRetry(AgentFailed):
    """The agent was stopped: the gateway saw what it waits for, and that takes too long. `verdict`
    is what the gateway's failures mean."""

    def __init__(self, failure: Failure, verdict: Verdict) -> None:
        super().__init__(failure)
        self.verdict = verdict


def is_pointless(
    failures: Sequence[Failure], verdict: Verdict, wait_in_place: float, now: datetime
) -> bool:
    """Whether an agent that met these failures, the newest first, should stop trying. A fatal
    one is left to the agent: it may know another way."""
    if not failures or verdict.reason is None:
        return False
    if not verdict.transient or len(failures) >= MOST_TRIES:
        return True
    return verdict.retry_at is not None and (
        (verdict.retry_at - now).total_seconds() > wait_in_place
    )


class StallWatch:
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
        """Do the work, and end it if it only waits.

        Raises:
            PointlessRetry: it was ended.
            Exception: whatever the work raises.
        """
        stalled: list[PointlessRetry] = []
        try:
            async with anyio.create_task_group() as group:

                async def stop_when_pointless() -> None:
                    stalled.append(await self._until_pointless())
                    group.cancel_scope.cancel()

                group.start_soon(stop_when_pointless)
                outcome = await work()
                group.cancel_scope.cancel()
                return outcome
        except ExceptionGroup as errors:
            # Only the work raises; a driver's own errors are handled by who asked for it.
            (error,) = errors.exceptions
            raise error from error.__cause__
        raise stalled[0]

    async def _until_pointless(self) -> PointlessRetry:
        after = 0
        while True:
            if await self._judge() is not None:
                await self._sleep(GRACE)
                # A call that succeeded in the meantime clears it.
                if (pointless := await self._judge()) is not None:
                    return pointless
            last = await self._evidence.news(after, NEWS_WAIT)
            if last is None:
                await self._sleep(UNREACHABLE_WAIT)
            else:
                after = last

    async def _judge(self) -> PointlessRetry | None:
        """Why waiting is pointless just now; None if it is not."""
        failures = await self._evidence.failures(self._since, self._provider)
        if not failures:
            return None
        # Most runs need none of it, and it would make each one start later.
        from agent_runner.classify.verdict import classify

        now = self._clock()
        verdict = classify(failures, now)
        if not is_pointless(failures, verdict, self._wait_in_place, now):
            return None
        return PointlessRetry(failures[0], verdict)
