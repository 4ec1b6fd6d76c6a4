"""What is constant: how long it may be kept, and the icon once."""

from __future__ import annotations

from typing import Any

import anyio
from mcp import Client

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event
from rover_mcp.server.resources import ENDED_SHOWN, RECENT_SECONDS
from tests.support.desk import ServerHarness
from tests.support.requests import create_request
from tests.support.samples import NOW, pause

INFO = "io.modelcontextprotocol/serverInfo"


def asked(desk: ServerHarness) -> tuple[Any, list[Any], Any]:
    """The answers to server/discover, to what lists constants and a call, and the resources."""

    async def talk() -> tuple[Any, list[Any], Any]:
        server = desk.app().server_for(desk.session())
        async with Client(server) as client:
            discovered = client.session.discover_result
            kept = [
                await client.list_tools(),
                await client.list_prompts(),
                await client.list_resource_templates(),
            ]
            changing = [await client.call_tool("get_status", {}), await client.list_resources()]
            return discovered, kept, changing

    return anyio.run(talk)


def test_lists_that_never_change_may_be_kept_and_tasks_may_not(desk: ServerHarness) -> None:
    discovered, kept, (_, resources) = asked(desk)
    assert [one.ttl_ms for one in (discovered, *kept)] == [3_600_000] * 4
    assert {one.cache_scope for one in (discovered, *kept)} == {"private"}, "tools are a user's"
    assert resources.ttl_ms == 0


def test_the_icon_is_in_the_first_answer_and_in_no_other(desk: ServerHarness) -> None:
    discovered, kept, changing = asked(desk)
    assert discovered.meta[INFO]["icons"][0]["mimeType"] == "image/svg+xml"
    for answer in (*kept, *changing):
        assert answer.meta[INFO]["name"] == "rover"
        assert "icons" not in answer.meta[INFO]


def test_resources_are_of_tasks_that_are_alive_or_ended_of_late(desk: ServerHarness) -> None:
    made = (create_request(description=f"Task {n}") for n in range(ENDED_SHOWN + 4))
    rows = [desk.tasks.create(desk.caller, request) for request in made]
    told = pause(PauseReason.BUDGET)
    for row in rows[1:]:
        desk.store.transitions.apply(row.id, Event.FAIL, error="x", data={"error": "x"})
    data = told.model_dump(mode="json")
    desk.store.transitions.apply(
        rows[0].id, Event.PAUSE, pause=told, data=data, unstarted=True, attempt=1
    )

    def listed() -> list[str]:
        _, _, (_, resources) = asked(desk)
        uris = [str(resource.uri) for resource in resources.resources]
        return [uri.rpartition("/")[2] for uri in uris if uri.startswith("rover://tasks/")]

    assert rows[0].id in listed(), "it is paused, however old it is"
    assert len(listed()) == 1 + ENDED_SHOWN
    desk.tasks.now = lambda: NOW.timestamp() + RECENT_SECONDS + 3600
    assert listed() == [rows[0].id]
