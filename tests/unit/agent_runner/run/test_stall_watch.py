"""Waiting that is pointless: who is stopped, and who is left alone. Time is a test's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import pytest

from agent_runner.agents.protocol import AgentFailed, AgentOutcome
from agent_runner.classify.verdict import classify
from agent_runner.gateway_evidence import Calls
from agent_runner.models import Failure, PauseReason, Usage
from agent_runner.run.stall_watch import GRACE, MOST_TRIES, PointlessRetry, StallWatch, is_pointless

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
DONE = AgentOutcome("done", None, Usage())


def refused(status: int, message: str = "m", **headers: str) -> Failure:
    dashed = {k.replace("_", "-"): v for k, v in headers.items()}
    return Failure("gateway", message, "anthropic", status=status, headers=dashed)


HOURS = refused(429, retry_after="10800")
EMPTY = refused(400, "Your credit balance is too low")
BUSY = refused(529, "Overloaded")


@pytest.mark.parametrize(
    ("failures", "pointless"),
    [
        ([], False),
        ([HOURS], True),
        ([EMPTY], True),
        ([refused(401)], True),
        ([BUSY], False),
        ([BUSY] * MOST_TRIES, True),
        ([refused(429, retry_after="7")], False),
        ([refused(429, retry_after="61")], True),
        ([refused(400, "prompt is too long")], False),
        ([refused(404)] * MOST_TRIES, False),
    ],
)
def test_an_agent_does_not_wait_for_what_only_a_pause_ends(
    failures: list[Failure], pointless: bool
) -> None:
    """D5: beyond the longest wait in place; what is fatal is the agent's own matter."""
    assert is_pointless(failures, classify(failures, NOW), 60, NOW) is pointless


class News:
    """A gateway whose answers a test sends."""

    def __init__(self) -> None:
        self.seen: list[Failure] = []
        self.asked: list[tuple[int, str | None]] = []
        self.last = 0
        self.reachable = True
        self._event = anyio.Event()

    def tell(self, *failures: Failure) -> None:
        self.seen, self.last = list(failures), self.last + 1
        self._event.set()

    async def failures(self, since: datetime, provider: str | None = None) -> Sequence[Failure]:
        assert (since, provider) == (NOW, "anthropic")
        return self.seen

    async def calls(self, since: datetime, provider: str | None = None) -> Calls | None:
        return None

    async def news(self, after: int, wait: float) -> int | None:
        self.asked.append((after, None))
        if not self.reachable:
            return None
        while self.last <= after:
            self._event = anyio.Event()
            await self._event.wait()
        return self.last


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []
        self.meanwhile = lambda: None

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        self.meanwhile()


def watched(news: News, clock: Clock) -> StallWatch:
    return StallWatch(news, NOW, "anthropic", 60, clock, clock.sleep)


def test_an_agent_that_sleeps_is_stopped_with_what_the_gateway_saw() -> None:
    stopped: list[bool] = []

    async def run() -> None:
        news, clock = News(), Clock()

        async def work() -> AgentOutcome:
            news.tell(HOURS)
            try:
                await anyio.sleep_forever()
            finally:
                stopped.append(True)
            return DONE

        with pytest.raises(PointlessRetry) as failed:
            await watched(news, clock).run(work)
        assert failed.value.failure is HOURS
        assert failed.value.verdict.reason is PauseReason.RATE_LIMIT
        assert clock.slept == [GRACE]

    anyio.run(run)
    assert stopped == [True]


def test_an_agent_that_ends_by_itself_says_more() -> None:
    async def run() -> None:
        news, clock = News(), Clock()
        own = AgentFailed(Failure("agent", "its own words"))

        async def work() -> AgentOutcome:
            news.tell(EMPTY)
            raise own

        with pytest.raises(AgentFailed) as failed:
            await watched(news, clock).run(work)
        assert failed.value is own
        assert clock.slept == []

    anyio.run(run)


def test_a_success_in_the_meantime_clears_it() -> None:
    async def run() -> None:
        news, clock = News(), Clock()
        clock.meanwhile = news.tell
        went_on = anyio.Event()

        async def work() -> AgentOutcome:
            news.tell(HOURS)
            while not clock.slept:
                await anyio.lowlevel.checkpoint()
            went_on.set()
            return DONE

        assert await watched(news, clock).run(work) is DONE
        assert went_on.is_set()

    anyio.run(run)


def test_a_gateway_that_restarts_is_asked_again() -> None:
    async def run() -> None:
        news, clock = News(), Clock()
        news.reachable = False

        def back() -> None:
            news.reachable = True

        clock.meanwhile = back

        async def work() -> AgentOutcome:
            while not news.reachable:
                await anyio.lowlevel.checkpoint()
            clock.meanwhile = lambda: None
            news.tell(HOURS)
            await anyio.sleep_forever()
            return DONE

        with pytest.raises(PointlessRetry):
            await watched(news, clock).run(work)

    anyio.run(run)


def test_a_stop_of_the_run_passes_through() -> None:
    """E1."""

    async def run() -> None:
        with anyio.move_on_after(0.01) as scope:
            await watched(News(), Clock()).run(anyio.sleep_forever)
        assert scope.cancelled_caught

    anyio.run(run)
