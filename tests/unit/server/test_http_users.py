"""Which client's server a request over HTTP reaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rover_mcp.server.http.users import METHODS, REFUSED, Users, may_call
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.caller import Caller
from tests.support.desk import Desk, open_desk

READ = frozenset({"read"})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def test_every_handler_of_ours_is_dispatched_to_a_clients_own_server(desk: Desk) -> None:
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
