"""The daemon's part of the hooks: plans deliveries from the event log and carries them out.

It is driven by announcements of new events and by one timer, for the next retry. Each message is
delivered at least once: what is being sent when the daemon is killed is sent again, with the same
id.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
import anyio.to_thread

from rover_mcp.config.hooks import CommandHook, Hook, HookRetry, WebhookHook
from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import NotFound, RoverError
from rover_mcp.domain.usage_window import time_of
from rover_mcp.hooks.message import message_of, test_message, wait_after
from rover_mcp.hooks.senders import (
    CommandSender,
    DesktopSender,
    Outcome,
    Sender,
    WebhookSender,
)
from rover_mcp.store.damaged_records import NONSENSE
from rover_mcp.store.deliveries import Deliveries
from rover_mcp.store.records import DeliveryRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.quoted_text import printable

log = logging.getLogger("rover.hooks")

LINGER_SECONDS: Final = 60.0
"""A retry that is due within this time keeps the daemon alive; a later one is left to the next
daemon."""
LONGEST_SLEEP_SECONDS: Final = 300.0
"""A clock that was changed, or a machine that slept, is noticed after this time."""


def sender_of(hook: Hook, environment: Mapping[str, str]) -> Sender:
    """The sender for a hook."""
    if isinstance(hook, WebhookHook):
        return WebhookSender(hook, environment)
    if isinstance(hook, CommandHook):
        return CommandSender(hook, environment)
    return DesktopSender(hook, environment)


class HookRunner:
    """All hooks of one daemon. `senders` are by name."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        deliveries: Deliveries,
        senders: Mapping[str, Sender],
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._hooks: dict[str, Hook] = {hook.name: hook for hook in settings.hooks}
        self._retry: HookRetry = settings.hook_retry
        self._most = settings.budget
        self._store = store
        self._deliveries = deliveries
        self._senders = senders
        self._now = now
        self._chance = chance
        self._wake = anyio.Event()
        self._looking = True
        self._seq: int | None = None
        self._busy: set[str] = set()
        self._next: float | None = None

    def wake(self) -> None:
        """Announce that there may be new events, or something to send. Call it on the event loop's
        thread."""
        self._wake.set()

    @property
    def has_work(self) -> bool:
        """Whether there are events to look at, or something is being sent, or will be soon."""
        soon = self._next is not None and self._next <= self._now() + LINGER_SECONDS
        if not self._hooks:
            return False
        return self._looking or self._wake.is_set() or bool(self._busy) or soon

    async def run(self) -> None:
        """Deliver until cancelled. Raises what a broken disk or database raises; call it again
        then."""
        async with anyio.create_task_group() as group:
            while True:
                # Each hook has a task of its own, so that a receiver that hangs delays no other.
                for hook, due in (await self.plan_and_list_due()).items():
                    self._busy.add(hook)
                    group.start_soon(self._work, hook, due)
                if not self._hooks:
                    await anyio.sleep_forever()
                with anyio.move_on_after(self.seconds_until_retry()):
                    await self._wake.wait()

    async def plan_and_list_due(self) -> dict[str, list[DeliveryRow]]:
        """Plan deliveries of new events; what has to be sent now, by hook."""
        # A new event before looking: an announcement that comes while we look leads to another
        # look.
        self._wake, self._looking = anyio.Event(), True
        await self.plan()
        due = await self.due()
        self._looking = False
        return due

    async def plan(self) -> None:
        """Create the deliveries for new events."""
        if self._seq is None:
            await anyio.to_thread.run_sync(self._deliveries.configure, sorted(self._hooks))
            places = await anyio.to_thread.run_sync(self._deliveries.places)
            # From the hook that is furthest behind, such as one that was added to config.yaml just
            # now.
            self._seq = min(places.values(), default=0)
        wanted = {name: self._wants(hook) for name, hook in self._hooks.items()}
        while wanted:
            before = self._seq
            self._seq = await anyio.to_thread.run_sync(self._deliveries.plan, wanted, before)
            if self._seq == before:
                return

    def _wants(self, hook: Hook) -> Callable[[Any], bool]:
        kinds = hook.kinds
        return lambda event: event.kind in kinds

    async def due(self) -> dict[str, list[DeliveryRow]]:
        """What has to be sent now, by hook. A hook that is busy announces when it is done."""
        by_hook: dict[str, list[DeliveryRow]] = {}
        for hook in self._hooks.keys() - self._busy:
            if due := await anyio.to_thread.run_sync(self._deliveries.due, hook):
                by_hook[hook] = due
        idle = self._hooks.keys() - self._busy - by_hook.keys()
        self._next = await anyio.to_thread.run_sync(self._deliveries.next_at, idle)
        return by_hook

    def seconds_until_retry(self) -> float:
        """Seconds until the next retry."""
        if self._next is None:
            return float("inf")
        # Retries are due by the wall clock, which jumps; timers count on the monotonic one, which
        # does not.
        return min(max(0.0, self._next - self._now()), LONGEST_SLEEP_SECONDS)

    async def _work(self, hook: str, due: list[DeliveryRow]) -> None:
        try:
            for delivery in due:
                await self.deliver(delivery)
        finally:
            self._busy.discard(hook)
            self.wake()

    async def deliver(self, delivery: DeliveryRow) -> None:
        """Try once, and record the outcome."""
        outcome = await self._try(delivery)
        # What was sent counts as delivered only after this is recorded. A daemon that is killed in
        # between sends it again under the same id, by which a receiver recognises it.
        if outcome.error is None:
            await anyio.to_thread.run_sync(self._deliveries.delivered, delivery)
            return
        wait = (
            None
            if outcome.final
            else wait_after(delivery.attempts + 1, self._retry, self._chance())
        )
        next_at = None if wait is None else self._now() + wait
        what = "is dead" if wait is None else f"is tried again in {wait:.0f} s"
        log.warning(
            "hook %s: delivery %s of event %s %s: %s %s",
            delivery.hook, delivery.id, delivery.seq, what, outcome.error,
            printable(outcome.output, 1000),
        )  # fmt: skip
        error = printable(outcome.error, 500)
        await anyio.to_thread.run_sync(self._deliveries.failed, delivery, error, next_at)

    async def _try(self, delivery: DeliveryRow) -> Outcome:
        sender = self._senders.get(delivery.hook)
        if sender is None:
            # The user took it out of config.yaml while a delivery was waiting.
            return Outcome("no such hook is configured any more", final=True)

        def read() -> Any:
            event = self._deliveries.event(delivery.seq)
            task = self._store.tasks.get(delivery.task_id)
            return message_of(event, task, self._most) if event and task else None

        try:
            message = await anyio.to_thread.run_sync(read)
        except (RoverError, *NONSENSE) as error:
            # A damaged record: it is so at the next try too.
            return Outcome(f"the event cannot be shown: {error}", final=True)
        if message is None:
            return Outcome("the event or its task no longer exists", final=True)
        return await sender.send(message, delivery.id)

    # What `rover hooks` asks

    def list(self) -> list[dict[str, Any]]:
        """Each hook, what is wrong with it here, and how many deliveries are in which state."""
        counts = self._deliveries.counts()
        return [
            {
                "name": name,
                "kind": hook.kind,
                "events": list(hook.events),
                "problem": self._senders[name].problem(),
                **{s: counts.get(name, {}).get(s, 0) for s in ("pending", "delivered", "dead")},
            }
            for name, hook in self._hooks.items()
        ]

    async def test(self, name: str | None) -> list[dict[str, Any]]:
        """Send a test message to one hook, or to all; the outcomes.

        Raises:
            NotFound: there is no such hook.
        """
        if name is not None and name not in self._senders:
            raise NotFound(f"unknown hook {name!r}", hint="see rover hooks list")
        results: list[dict[str, Any]] = []
        for one in [name] if name is not None else list(self._hooks):
            delivery = f"msg_{secrets.token_hex(16)}"
            done = await self._senders[one].send(test_message(self._now()), delivery)
            output = printable(done.output, 1000)
            results.append({"name": one, "error": done.error, "output": output})
        return results

    def dead(self) -> list[dict[str, Any]]:
        """Deliveries that are no longer tried, newest first."""
        return [
            {
                "id": d.id,
                "hook": d.hook,
                "seq": d.seq,
                "task_id": d.task_id,
                "attempts": d.attempts,
                "ended_at": time_of(d.ended_at or d.next_at).isoformat(),
                "error": d.error,
            }
            for d in self._deliveries.dead()
        ]

    def retry(self, delivery: str) -> None:
        """Try a dead delivery again; call `wake` afterwards.

        Raises:
            NotFound: there is no such dead delivery, or its hook is gone.
        """
        if not self._deliveries.retry(delivery, self._hooks.keys()):
            raise NotFound(
                f"no dead delivery has the id {delivery[:80]!r}", hint="see rover hooks dead"
            )
