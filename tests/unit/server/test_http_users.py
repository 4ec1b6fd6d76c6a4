"""Which client's server a request over HTTP reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from mcp.server.subscriptions import ResourcesListChanged, ServerEvent

from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.http.sessions import METHODS, REFUSED, Users, may_call
from rover_mcp.server.session import ClientSession
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.caller import Caller
from tests.support.desk import ServerHarness, open_desk
from tests.support.requests import create_request

READ = frozenset({"read"})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServerHarness]:
    with open_desk(tmp_path) as made:
        yield made


def test_every_handler_of_ours_is_dispatched_to_a_clients_own_server(desk: ServerHarness) -> None:
    app = desk.app()
    ours = set(app.server_for(desk.session())._request_handlers)
    users = Users(app, app._services, lambda u: Caller("x", desk.repo, user=u), None)  # pyright: ignore[reportArgumentType]
    served = users.server()._request_handlers
    bare = {"initialize", "ping", "server/discover"}
    for method in ours - bare:
        assert method in METHODS or method in REFUSED, f"{method} would reach nobody's session"
    for method in ours - bare - set(REFUSED):
        assert "Users._dispatch" in served[method].handler.__qualname__


def test_what_a_token_of_read_may_call() -> None:
    for name, entry in TOOLS.items():
        annotations = entry.tool.annotations
        assert annotations
        assert may_call("tools/call", name, READ) is bool(annotations.read_only_hint)
        assert may_call("tools/call", name, READ | {"write"})
    assert not any(may_call(m, None, READ) for m in ("tasks/update", "tasks/cancel"))
    for method in ("tools/list", "tasks/get", "subscriptions/listen", None, 3, ["tools/call"]):
        assert may_call(method, "create_task", READ)
    assert may_call("tools/call", ["create_task"], READ)


def test_what_happens_is_told_on_the_owners_bus_and_the_machines(desk: ServerHarness) -> None:
    heard: dict[str | None, list[ServerEvent]] = {None: [], "ann": [], "bob": []}
    pushed: dict[str | None, list[str]] = {None: [], "ann": [], "bob": []}
    broadcaster = EventBroadcaster(desk.store)

    def session(user: str | None) -> ClientSession:
        def push(method: str, _params: object) -> None:
            pushed[user].append(method)

        made = ClientSession(replace(desk.caller, user=user, projects=(desk.repo,)), push)
        made.legacy = True
        made.subscribed.add("rover://tasks")
        return made

    async def scene() -> None:
        async with anyio.create_task_group() as group:
            there = anyio.Event()
            sessions = {user: session(user) for user in heard}
            for user, one in sessions.items():
                broadcaster.bus_of(one.caller).subscribe(heard[user].append)
                broadcaster.sessions.add(one)
            broadcaster.bus_of(desk.caller).subscribe(
                lambda e: there.set() if isinstance(e, ResourcesListChanged) else None
            )
            group.start_soon(broadcaster.run)
            while broadcaster._seq is None:
                # A thread reads where the events begin.
                await anyio.lowlevel.checkpoint()
            maker = replace(sessions["ann"].caller, client_id="another of hers")
            desk.tasks.create(maker, create_request("Do it", agent="scripted"))
            broadcaster.wake()
            with anyio.fail_after(300):
                await there.wait()
                while not (pushed[None] and pushed["ann"]):
                    await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    anyio.run(scene)
    assert heard["ann"] == heard[None] != []
    assert heard["bob"] == []
    assert pushed["ann"] == pushed[None] == ["notifications/resources/updated"]
    assert pushed["bob"] == []
