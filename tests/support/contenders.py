"""Processes that want the same thing at the same moment, round after round."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

import sqlalchemy as sa

from rover_mcp.store import store_tables
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from tests.support.hangs import HANG_SECONDS

PROCESSES = 8

Round = Callable[[Store, str], bool]
"""What a contender does with what is named; whether it won."""


def contend(url: str, names: Sequence[str], what: Round, again: Round | None = None) -> list[int]:
    """How many won each round, which is about one name. With `again` one process makes it ready
    for the next round."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    arguments = (url, names, what, again, barrier, results)
    processes = [context.Process(target=_contender, args=(n, *arguments)) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    won = [results.get(timeout=HANG_SECONDS) for _ in processes]
    for process in processes:
        process.join(HANG_SECONDS)
        assert process.exitcode == 0
        process.close()
    return [sum(each) for each in zip(*won, strict=True)]


def _contender(
    number: int,
    url: str,
    names: Sequence[str],
    what: Round,
    again: Round | None,
    barrier: Barrier,
    results: Any,
) -> None:
    engine = open_database(url)
    if url.startswith("sqlite"):
        # Who wins is tested, not what a power loss would leave.
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        engine.dispose()
    store, won = Store(engine), list[bool]()
    for name in names:
        barrier.wait(HANG_SECONDS)
        won.append(what(store, name))
        if again is not None:
            barrier.wait(HANG_SECONDS)
            assert number or again(store, name)
    results.put(won)
    engine.dispose()


def resume(store: Store, task_id: str) -> bool:
    return store.transitions.resume(task_id, "contender") is not None


def elect(store: Store, account: str) -> bool:
    return len(store.holds.release(account)) == 1


def unelect(store: Store, account: str) -> bool:
    """The probe waits again, as after a crash that took its verdict."""
    [probe] = store.attempts.in_states(["released"])
    with store.database.engine.begin() as connection:
        nobody = {"probe_task": None, "probe_attempt": None}
        connection.execute(store_tables.holds.update().values(**nobody))
    return store.attempts.move(probe.task_id, probe.attempt, ("released",), state="held")
