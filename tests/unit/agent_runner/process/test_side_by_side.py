"""Commands of parallel steps: each one's end is exact, and touches no other's processes."""

# ruff: noqa: ASYNC110, ASYNC240 - nothing else runs on these loops; what is polled is bounded
from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from agent_runner.process.commands import RunningCommand
from agent_runner.process.process_tree import MARKER, is_alive_as
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunSpec
from tests.unit.agent_runner.conftest import in_own_thread, worker_uid
from tests.unit.agent_runner.process.test_spawn import alive, assert_ended

# Leaves a child in a session of its own, which ignores SIGTERM or has taken the marker off.
STUBBORN = "trap '' TERM; setsid sleep 300 & echo $!; sleep "
NAMELESS = "setsid env -i sleep 300 & echo $!; sleep 300"


async def first_number(running: RunningCommand) -> int:
    async for line in running.lines():
        return int(line.text)
    raise AssertionError("it said nothing")


async def unmarked(pid: int) -> None:
    """Wait until the process runs without its marker."""
    with anyio.fail_after(300):
        while MARKER.encode() in Path(f"/proc/{pid}/environ").read_bytes():
            await anyio.sleep(0.005)


def of_user(uid: int) -> list[int]:
    return [
        int(p.name)
        for p in Path("/proc").iterdir()
        if p.name.isdecimal() and is_alive_as(int(p.name), uid)
    ]


@pytest.mark.parametrize("isolation", ["bare", "switched"])
def test_the_end_of_one_leaves_its_siblings_alone(
    request: pytest.FixtureRequest, isolation: str
) -> None:
    """E5: stopped, over by itself, or out of time; also what hides of the others lives on."""
    spec: RunSpec = request.getfixturevalue(isolation)

    async def work() -> None:
        commands = make_commands(spec)
        async with (
            commands.open(["sh", "-c", STUBBORN + "300"]) as sibling,
            commands.open(["sh", "-c", STUBBORN + "300"]) as stopped,
        ):
            kept, gone = await first_number(sibling), await first_number(stopped)
            await stopped.stop()
            over = await commands.run(["sh", "-c", STUBBORN + "0.05"])
            late = await commands.run(["sh", "-c", STUBBORN + "300"], timeout=10)
            for pid in (gone, over.stdout, late.stdout):
                assert_ended(int(pid))
            assert late.timed_out
            assert alive(kept)
        assert_ended(kept)

    in_own_thread(work)


def test_of_several_that_end_at_once_nothing_is_left(switched: RunSpec) -> None:
    """E1, E5: a pause stops all of them; none leaves its unmarked children to another that ends
    in the same moment."""
    seen: list[int] = []
    make = make_commands(switched).open

    async def one(ready: anyio.Event) -> None:
        async with make(["sh", "-c", NAMELESS]) as running:
            pid = await first_number(running)
            await unmarked(pid)
            seen.append(pid)
            if len(seen) == 3:
                ready.set()
            await anyio.sleep_forever()

    async def work() -> None:
        ready = anyio.Event()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one, ready)
            await ready.wait()
            assert set(seen) <= set(of_user(worker_uid()))
            group.cancel_scope.cancel()
        assert of_user(worker_uid()) == []

    in_own_thread(work)


def test_what_hides_from_its_marker_ends_with_the_last_that_runs(switched: RunSpec) -> None:
    """E5: while others run, whose it is cannot be told; one that was stopped does not run."""

    async def work() -> None:
        commands = make_commands(switched)
        async with (
            commands.open(["sleep", "300"]) as stopped,
            commands.open(["sh", "-c", NAMELESS]) as last,
        ):
            hidden = await first_number(last)
            await unmarked(hidden)
            await stopped.stop()
            assert alive(hidden)
            await last.stop()
            assert_ended(hidden)

    in_own_thread(work)
