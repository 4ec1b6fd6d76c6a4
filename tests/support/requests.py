"""Requests to create a task, written with the options among their other fields."""

from __future__ import annotations

from typing import Any

from rover_mcp.config.task_options import TaskOptions
from rover_mcp.tasks.create_request import CreateRequest


def create_request(description: str, **named: Any) -> CreateRequest:
    """A request; `agent` stands for `agents` with one name."""
    if agent := named.pop("agent", None):
        named["agents"] = (agent,)
    options = {name: named.pop(name) for name in TaskOptions.model_fields if name in named}
    return CreateRequest(description, options=TaskOptions(**options), **named)
