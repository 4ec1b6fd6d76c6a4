"""Handles of the Tasks extension over the use cases, without a wire."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from rover_mcp.domain.task_status import Event
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.mcp_task_handles import TaskHandles
from rover_mcp.server.session import HELD_SECONDS, ClientSession
from rover_mcp.server.tasks_extension import Task
from tests.support.desk import ServerHarness
from tests.support.requests import create_request

NOBODY: Any = SimpleNamespace(session=SimpleNamespace(client_capabilities=None))


def handles_of(desk: ServerHarness, session: ClientSession) -> TaskHandles:
    return TaskHandles(desk.tasks, EventBroadcaster(desk.store), session, lambda _: True)


def got(handles: TaskHandles, task: str) -> Task:
    found = anyio.run(handles.get, NOBODY, task)
    assert found is not None
    return found


def created(desk: ServerHarness) -> str:
    return desk.tasks.create(desk.caller, create_request(description="Fix the sum")).id


def test_an_agent_that_cannot_sign_in_is_told_with_the_handle(desk: ServerHarness) -> None:
    """What to do about it, too."""
    desk.control.lacking = {"claude": "no key is there; rover login keeps one"}
    task = got(handles_of(desk, desk.session()), created(desk)).handle()
    for told in (
        task["statusMessage"],
        task["_meta"]["com.anthropic/agent-task"]["modelImmediateResponse"],
    ):
        assert "claude cannot sign in" in told
        assert "rover login keeps one" in told


def test_a_long_note_is_cut_before_its_client_cuts_it(desk: ServerHarness) -> None:
    """Claude Code shows 2,000 characters."""
    task_id = created(desk)
    desk.store.tasks.update(task_id, warnings=["w" * 900] * 30)
    task = got(handles_of(desk, desk.session()), task_id).handle()
    note = task["_meta"]["com.anthropic/agent-task"]["modelImmediateResponse"]
    assert len(note) <= 1800
    assert len(task["statusMessage"]) <= 1200
    assert "Branch rover/1-fix-the-sum" in note


@pytest.mark.parametrize("shared", [False, True])
def test_a_handle_is_held_while_its_client_may_still_ask_by_it(
    desk: ServerHarness, shared: bool
) -> None:
    """Over HTTP several programs of one user share a session: one that has gone is not the one
    that asks now."""
    session = desk.session()
    session.shared = shared
    session.hold("a", 1, now=100.0)
    session.hold("a", 0, now=101.0)
    assert session.holds("a", 1, now=102.0)
    assert not session.holds("a", 0, now=102.0)
    assert not session.holds("a", 2, now=102.0)
    assert session.holds("a", 1, now=102.0 + HELD_SECONDS) is not shared


def test_an_end_that_was_asked_for_by_the_handle_is_told_once(desk: ServerHarness) -> None:
    session, task_id = desk.session(), created(desk)
    handles, broadcaster = handles_of(desk, session), EventBroadcaster(desk.store)
    desk.store.claims.start(task_id, 1, f"attempt-{task_id}-1")
    working = got(handles, task_id)
    desk.store.transitions.apply(task_id, Event.COMPLETE)
    # An answer that was made before the end did not tell it.
    anyio.run(handles.acknowledge, NOBODY, working)
    assert [e.task_id for e in anyio.run(broadcaster.attention, session, 5).events] == [task_id]
    anyio.run(handles.acknowledge, NOBODY, got(handles, task_id))
    assert not anyio.run(broadcaster.attention, session, 5).events
    # It goes to others until there is a sign that the answer arrived.
    assert anyio.run(broadcaster.attention, desk.session(), 5).events
    anyio.run(broadcaster.confirm, session)
    assert not anyio.run(broadcaster.attention, desk.session(), 5).events
    [channel] = desk.store.events.reported(
        [e.seq for e in desk.store.events.last(task_id, 1)]
    ).values()
    assert list(channel) == ["tasks/get"]
