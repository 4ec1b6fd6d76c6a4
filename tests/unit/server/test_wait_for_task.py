"""What a waiting call does at each event of its task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.from_thread
import pytest

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.server.arguments import WaitArguments
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.results import WaitResult
from rover_mcp.server.tool_call import Call, Services
from rover_mcp.server.wait_for_task import wait_for_task
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.view_models import TaskView
from tests.support.desk import ServerHarness
from tests.support.samples import pause
from tests.unit.server.test_results import ask, task_in, valid

EVENTS = 5


@pytest.mark.parametrize("wants_progress", [True, False])
def test_only_a_wait_with_progress_reads_views_at_events(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch, wants_progress: bool
) -> None:
    """Without it there are two views: one when the wait begins, and the result."""
    task_id = task_in(desk, "running")
    view, shown_status = desk.tasks.view, desk.tasks.shown_status
    views: list[TaskView] = []
    reported: list[float] = []

    def counted(task: TaskRow) -> TaskView:
        views.append(view(task))
        return views[-1]

    monkeypatch.setattr(desk.tasks, "view", counted)

    async def report(value: float, _message: str) -> None:
        reported.append(value)

    async def waited() -> WaitResult:
        broadcaster = EventBroadcaster(desk.store)
        services = cast("Services", SimpleNamespace(tasks=desk.tasks, broadcaster=broadcaster))
        call = Call(desk.session(), services, report, wants_progress=wants_progress)
        looked = [anyio.Event()]

        def seen(task: TaskRow) -> TaskStatus:
            anyio.from_thread.run_sync(looked[0].set)
            return shown_status(task)

        monkeypatch.setattr(desk.tasks, "shown_status", seen)
        results: list[WaitResult] = []

        async def wait() -> None:
            results.append(
                await wait_for_task(call, WaitArguments(task=["1"], timeout_s=3600, after_seq=None))
            )

        async def happen() -> None:
            await looked[0].wait()
            for _ in range(EVENTS):
                looked[0] = anyio.Event()
                while not looked[0].is_set():
                    desk.store.events.add(task_id, "task.step", {})
                    broadcaster.wake()
                    # The broadcaster tells what comes after it has begun, which may be later.
                    with anyio.move_on_after(1):
                        await looked[0].wait()
            desk.store.transitions.apply(task_id, Event.CANCEL)
            broadcaster.wake()

        with anyio.fail_after(300):
            async with anyio.create_task_group() as group:
                group.start_soon(broadcaster.run)
                async with anyio.create_task_group() as pair:
                    pair.start_soon(wait)
                    pair.start_soon(happen)
                group.cancel_scope.cancel()
        return results[0]

    result: Any = anyio.run(waited)
    assert result.returned == "ended"
    if wants_progress:
        assert reported
        assert len(views) > 2
    else:
        assert (len(views), reported) == (2, [])


def test_a_pause_that_could_not_be_recorded_ends_a_wait(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = task_in(desk, "running")
    unrecorded = {task_id: pause(PauseReason.CREDITS)}
    monkeypatch.setattr(desk.tasks, "stalled", unrecorded.get)
    [result] = ask(desk, ("wait_for_task", {"task": "1", "timeout_s": 3600}))
    assert valid("wait_for_task", result)["returned"] == "paused"
