"""What is shown at a glance, of either database."""

from __future__ import annotations

import json

from rover_mcp.domain.task_status import Event
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store


def test_running_tasks_are_shown_and_ended_ones_until_they_were_told(
    store: Store, running: TaskRow
) -> None:
    """14-12."""
    seen = json.loads(json.dumps(store.glanced()))
    assert (seen["counts"], len(seen["tasks"])) == ({str(running.status): 1}, 1)
    assert seen["tasks"][0][3:] == [running.project_path, None, None, running.project_id]
    assert [running.project_id, running.project_path] in seen["projects"]
    store.transitions.apply(running.id, Event.FAIL, error="boom", data={"error": "boom"})
    assert [task[1] for task in store.glanced()["tasks"]] == ["FAILED"]
    store.events.acknowledge(store.events.of_kinds(running.id, [Event.FAIL]))
    assert store.glanced()["tasks"] == []
