"""The log of operations: what several threads that use it at once see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rover_mcp.domain.errors import Conflict, NotFound
from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.store.operations import OperationRow
from rover_mcp.tasks.operation_log import OperationLog
from tests.support.desk import ServerHarness
from tests.support.hangs import HANG_SECONDS

TASK = "t1"
LIMIT = HANG_SECONDS


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
def log(desk: ServerHarness) -> OperationLog:
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


class ToldCondition(threading.Condition):
    """Sets `waits` when a thread is about to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.set()
        return super().wait(timeout)


def test_an_operation_waits_for_the_daemon_that_looks_at_its_task(log: OperationLog) -> None:
    """N8. A new daemon claims each task with an open row for a moment, also where a call has settled
    it; who was planning meanwhile would be told that another operation is at work."""
    log.rows.begin(TASK, OperationKind.REBASE, {})
    settler = log.settlers[OperationKind.REBASE] = SlowSettler()
    log._released = condition = ToldCondition()
    daemon = in_thread(log.settle)
    assert settler.begun.wait(LIMIT)
    caller = in_thread(lambda: log.run(TASK, OperationKind.MERGE, {}, lambda _: None))
    caller.add_done_callback(lambda _: condition.waits.set())
    assert condition.waits.wait(LIMIT)
    settler.release.set()
    daemon.result(LIMIT)
    caller.result(LIMIT)
    states = [row.state for row in log.rows.of_task(TASK)]
    assert states == [OperationState.DONE, OperationState.DONE]


@pytest.mark.parametrize("error", [NotFound("gone"), OSError("no space")])
def test_an_operation_that_cannot_be_settled_leaves_the_others_settled(
    log: OperationLog, error: Exception
) -> None:
    """N8. The daemon settles all of them only once, when it starts."""

    def fails(row: OperationRow) -> OperationState:
        raise error

    stays = log.rows.begin(TASK, OperationKind.MERGE, {})
    other = log.rows.begin("t2", OperationKind.REBASE, {})
    log.settlers[OperationKind.MERGE] = fails
    log.settlers[OperationKind.REBASE] = lambda _: OperationState.UNDONE
    log.settle()
    assert (log.rows.is_open(stays.id), log.rows.is_open(other.id)) == (True, False)


def test_a_row_that_was_settled_meanwhile_is_left_alone(log: OperationLog) -> None:
    row = log.rows.begin(TASK, OperationKind.PUSH, {})
    settler = log.settlers[OperationKind.PUSH] = SlowSettler()
    settler.release.set()
    rows = log.rows.open
    log.rows.open = lambda: [*rows(), row]  # type: ignore[method-assign]
    log.settle()
    assert settler.settled == [row.id]
