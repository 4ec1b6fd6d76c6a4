"""From an event to a hook: order, retries, the dead, what a restart finds; no time passes."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from rover_mcp.config.hooks import CommandHook, HookRetry
from rover_mcp.domain.errors import NotFound
from rover_mcp.domain.task_status import Event
from rover_mcp.hooks.runner import LINGER_SECONDS, HookRunner
from rover_mcp.hooks.senders import Outcome
from rover_mcp.store.store import Store
from rover_mcp.tasks.view_models import HookMessage
from tests.support.desk import ServerHarness, replace_settings
from tests.support.samples import NOW, new_task

RETRY = HookRetry(tries=3, first=10, most=100, jitter=0)


@dataclass
class Receiver:
    """Another side that answers what it is told to, then well."""

    answers: list[Outcome] = field(default_factory=list[Outcome])
    got: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def send(self, message: HookMessage, delivery: str) -> Outcome:
        self.got.append((message.type, delivery))
        return self.answers.pop(0) if self.answers else Outcome()

    def problem(self) -> str | None:
        return None


@dataclass
class HookHarness:
    desk: ServerHarness
    receiver: Receiver
    now: float = NOW.timestamp()

    def __post_init__(self) -> None:
        self.store = Store(self.desk.engine, now=lambda: self.now)
        self.store.projects.register("p1", "/repo")
        self.hooks = self.start()

    def start(self) -> HookRunner:
        """As the daemon does when it starts."""
        hook = CommandHook(kind="command", name="hook", run=("true",))
        settings = replace_settings(self.desk.tasks.settings, hooks=(hook,), hook_retry=RETRY)
        return HookRunner(
            settings, self.store, self.store.deliveries("roverd"), {"hook": self.receiver},
            now=lambda: self.now, chance=lambda: 0.0,
        )  # fmt: skip

    def fail(self, number: int) -> str:
        task, _ = self.store.tasks.create(new_task(f"{number:032x}"), frozenset())
        self.store.transitions.apply(task.id, Event.FAIL, error="boom", data={"error": "boom"})
        return task.id

    async def step(self) -> None:
        """One round of `run`, waited for."""
        for due in (await self.hooks.plan_and_list_due()).values():
            for delivery in due:
                await self.hooks.deliver(delivery)
        await self.hooks.plan_and_list_due()


Body = Callable[[HookHarness], Awaitable[None]]


@pytest.fixture
def scene(desk: ServerHarness) -> HookHarness:
    return HookHarness(desk, Receiver())


def run(work: Callable[..., Awaitable[Any]], *args: Any) -> None:
    anyio.run(functools.partial(work, *args))


def test_events_are_told_in_their_order_and_once(scene: HookHarness) -> None:
    async def body() -> None:
        await scene.step()
        for number in range(3):
            scene.fail(number)
        await scene.step()
        await scene.step()

    run(body)
    assert [kind for kind, _ in scene.receiver.got] == ["task.failed"] * 3
    assert len({delivery for _, delivery in scene.receiver.got}) == 3
    assert not scene.hooks.has_work


def test_what_fails_is_repeated_under_its_id_and_then_dead(scene: HookHarness) -> None:
    scene.receiver.answers = [Outcome(f"no {n}") for n in range(3)]

    async def body() -> None:
        await scene.step()
        scene.fail(1)
        for wait, after in ((0, 10), (10, 50), (50, None)):
            scene.now += wait
            await scene.step()
            assert scene.hooks.seconds_until_retry() == (
                after if after is not None else float("inf")
            )

    run(body)
    assert len(scene.receiver.got) == 3
    assert len(set(scene.receiver.got)) == 1
    [dead] = scene.hooks.dead()
    assert (dead["id"], dead["attempts"], dead["error"]) == (scene.receiver.got[0][1], 3, "no 2")


def test_a_dead_one_is_told_when_a_person_asks(scene: HookHarness) -> None:
    scene.receiver.answers = [Outcome("410", final=True)]

    async def body() -> None:
        await scene.step()
        scene.fail(1)
        await scene.step()
        [dead] = scene.hooks.dead()
        assert dead["attempts"] == 1
        scene.hooks.retry(dead["id"])
        with pytest.raises(NotFound):
            scene.hooks.retry(dead["id"])
        await scene.step()

    run(body)
    assert len(scene.receiver.got) == 2
    assert scene.hooks.dead() == []


def test_a_killed_daemons_deliveries_are_the_next_ones(scene: HookHarness) -> None:
    """Between the event and its delivery, and between the plan and the try."""

    async def body() -> None:
        await scene.step()
        scene.fail(1)
        await scene.hooks.plan()
        scene.fail(2)
        scene.hooks = scene.start()
        await scene.step()

    run(body)
    assert [kind for kind, _ in scene.receiver.got] == ["task.failed"] * 2


def test_the_daemon_stays_for_what_is_due_soon_and_for_nothing_else(scene: HookHarness) -> None:
    """A day-long backoff keeps no daemon alive; the next one goes on with it."""
    scene.receiver.answers = [Outcome("no"), Outcome("no")]

    async def body() -> None:
        assert scene.hooks.has_work, "it has not looked yet"
        await scene.step()
        scene.fail(1)
        await scene.step()
        assert scene.hooks.has_work
        scene.now += 10
        await scene.step()
        scene.now -= LINGER_SECONDS
        assert not scene.hooks.has_work
        scene.hooks.wake()
        assert scene.hooks.has_work

    run(body)


def test_a_deleted_task_is_told_to_nobody(scene: HookHarness) -> None:
    async def body() -> None:
        await scene.step()
        task = scene.fail(1)
        await scene.hooks.plan()
        with scene.desk.engine.begin() as connection:
            for table in ("rover_attempts WHERE task_id", "rover_tasks WHERE id"):
                connection.exec_driver_sql(f"DELETE FROM {table} = '{task}'")
        await scene.step()

    run(body)
    assert scene.receiver.got == []
    assert "no longer exists" in scene.hooks.dead()[0]["error"]


def test_a_test_is_told_at_once_and_leaves_nothing(scene: HookHarness) -> None:
    scene.receiver.answers = [Outcome(), Outcome("refused", output="\x1b[2Jwhy")]

    async def body() -> list[dict[str, Any]]:
        told = [*await scene.hooks.test(None), *await scene.hooks.test("hook")]
        with pytest.raises(NotFound):
            await scene.hooks.test("other")
        return told

    told = anyio.run(body)
    assert told == [
        {"name": "hook", "error": None, "output": ""},
        {"name": "hook", "error": "refused", "output": "why"},
    ]
    assert [kind for kind, _ in scene.receiver.got] == ["test", "test"]
    assert scene.hooks.list()[0]["delivered"] == 0


def test_a_slow_hook_keeps_no_other_waiting(scene: HookHarness) -> None:
    """Each has a worker of its own; the run loop itself, on real wake-ups."""
    slow, slow_done = anyio.Event(), anyio.Event()

    class Slow(Receiver):
        async def send(self, message: HookMessage, delivery: str) -> Outcome:
            await slow.wait()
            slow_done.set()
            return await super().send(message, delivery)

    quick_done = anyio.Event()

    class Quick(Receiver):
        async def send(self, message: HookMessage, delivery: str) -> Outcome:
            quick_done.set()
            return await super().send(message, delivery)

    first, second = Slow(), Quick()
    names = ("slow", "quick")
    hooks_of = tuple(CommandHook(kind="command", name=n, run=("true",)) for n in names)
    settings = replace_settings(scene.desk.tasks.settings, hooks=hooks_of, hook_retry=RETRY)
    hooks = HookRunner(
        settings, scene.store, scene.store.deliveries("d"), {"slow": first, "quick": second},
        now=lambda: scene.now,
    )  # fmt: skip

    async def body() -> None:
        with anyio.fail_after(300):
            async with anyio.create_task_group() as group:
                await hooks.plan()
                scene.fail(1)
                group.start_soon(hooks.run)
                await quick_done.wait()
                assert first.got == []
                assert hooks.has_work
                slow.set()
                await slow_done.wait()
                group.cancel_scope.cancel()

    run(body)
    assert len(first.got) == len(second.got) == 1
