"""The log of operations: what several threads that use it at once see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.store.operations import OperationRow
from rover_mcp.tasks.operation_log import OperationLog
from tests.support.desk import Desk

TASK = "t1"
LIMIT = 300.0
"""Seconds, against a hang."""


class SlowSettler:
    """Settles once it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.settled: list[str] = []

    def __call__(self, row: OperationRow) -> OperationState:
        self.begun.set()
        assert self.release.wait(LIMIT)
        self.settled.append(row.id)
        return OperationState.DONE


@pytest.fixture
def log(desk: Desk) -> OperationLog:
    return OperationLog(desk.store.operations("roverd"))


def in_thread(work: Callable[[], None]) -> Future[None]:
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def test_a_call_waits_for_the_daemon_that_settles_its_task(log: OperationLog) -> None:
    """N8. Otherwise the call would see a branch that has moved without a record of it."""
    row = log.rows.begin(TASK, OperationKind.REBASE, {})
    settler = log.settlers[OperationKind.REBASE] = SlowSettler()
    daemon = in_thread(log.settle)
    assert settler.begun.wait(LIMIT)
    open_after: list[bool] = []
    rows, read = log.rows.open, threading.Event()

    def open_rows() -> list[OperationRow]:
        result = rows()
        read.set()
        return result

    def call() -> None:
        log.settle(TASK)
        open_after.append(log.rows.is_open(row.id))

    log.rows.open = open_rows  # type: ignore[method-assign]
    caller = in_thread(call)
    assert read.wait(LIMIT)
    settler.release.set()
    daemon.result(LIMIT)
    caller.result(LIMIT)
    assert (settler.settled, open_after) == ([row.id], [False])


def test_a_call_is_refused_while_another_thread_works_on_its_task(log: OperationLog) -> None:
    """N8."""
    begun, release = threading.Event(), threading.Event()

    def work(_: OperationRow) -> None:
        begun.set()
        assert release.wait(LIMIT)
        log.settle(TASK)  # the thread's own operation is not in its way

    running = in_thread(lambda: log.run(TASK, OperationKind.MERGE, {}, work))
    assert begun.wait(LIMIT)
    with pytest.raises(Conflict, match="at work") as refused:
        log.settle(TASK)
    log.settle()  # the daemon's own look at all tasks skips it
    release.set()
    running.result(LIMIT)
    assert refused.value.code == "operation_running"
    assert [row.state for row in log.rows.of_task(TASK)] == [OperationState.DONE]


def test_a_row_that_was_settled_meanwhile_is_left_alone(log: OperationLog) -> None:
    row = log.rows.begin(TASK, OperationKind.PUSH, {})
    settler = log.settlers[OperationKind.PUSH] = SlowSettler()
    settler.release.set()
    rows = log.rows.open
    log.rows.open = lambda: [*rows(), row]  # type: ignore[method-assign]
    log.settle()
    assert settler.settled == [row.id]
