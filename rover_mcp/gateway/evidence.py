"""Keeps a bounded number of one task's answers, and lets the runner wait for more."""

from __future__ import annotations

import asyncio
from collections import deque

from agent_runner.models import Usage
from rover_mcp.gateway.grant import ProviderAnswer, Refusal
from rover_mcp.gateway.routes import EvidenceWait

KEPT_ANSWERS = 50
KEPT_REFUSALS = 50


class CallEvidence:
    """The answers and refusals of one task, on one event loop.

    `last` counts the answers that have ended or reported an error; one that still streams without
    an error is not counted yet.
    """

    def __init__(self) -> None:
        self.answers: dict[int, ProviderAnswer] = {}
        self.refusals: deque[Refusal] = deque(maxlen=KEPT_REFUSALS)
        self.usage = Usage()
        self.last = 0
        self._begun = 0
        self._settled: set[int] = set()
        self._news = asyncio.Event()

    def add(self, answer: ProviderAnswer) -> int:
        """Record that an answer begins, and return its key."""
        self._begun += 1
        self.answers[self._begun] = answer
        if len(self.answers) > KEPT_ANSWERS:
            oldest = next(iter(self.answers))
            del self.answers[oldest]
            self._settled.discard(oldest)
        if answer.error:
            self._settle(self._begun)
        return self._begun

    def update(self, key: int, answer: ProviderAnswer) -> None:
        """Record what is newly known of an answer."""
        if key in self.answers:
            self.answers[key] = answer
        if answer.error:
            self._settle(key)

    def complete(self, key: int, answer: ProviderAnswer) -> None:
        """Record that nothing more of an answer comes."""
        if answer.usage:
            self.usage = self.usage.plus(answer.usage)
        self._settle(key)

    def _settle(self, key: int) -> None:
        if key in self._settled:
            return
        if key in self.answers:
            self._settled.add(key)
        self.last += 1
        # Each wait holds the event that was current when it began: a new one for those who come
        # later, so that no event has to be cleared while others wait for it.
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def wait(self, watch: EvidenceWait) -> None:
        """Wait until `last` exceeds `after`, for as long as the watch says. Returns at once if
        `after` comes from an earlier gateway, whose count this one does not know."""
        if watch.after > self.last:
            return
        try:
            async with asyncio.timeout(watch.wait):
                while self.last <= watch.after:
                    await self._news.wait()
        except TimeoutError:
            return

    def as_json(self) -> dict[str, object]:
        """The body of `/rover/v1/evidence`."""
        return {
            "last": self.last,
            "answers": [a.as_json() for a in self.answers.values()],
            "refused": [r.as_json() for r in self.refusals],
        }
