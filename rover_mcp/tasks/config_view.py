"""How a task shows its configuration, and who set what. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rover_mcp.config.limits import shown
from rover_mcp.config.project import FILE
from rover_mcp.config.task_config import Origin, TaskConfig
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.options import PLAIN

_WORDS = {Origin.PROJECT: FILE, Origin.USER: "your config.yaml"}


# Whoever wonders why a task ran as it did needs to know who decided, and not only what.
def config_view(task: TaskRow) -> dict[str, str] | None:
    """Each setting with its value and, in brackets, who gave it; None for a task
    that was made before configurations were kept."""
    if task.config is None:
        return None
    return {name: f"{value} ({origin})" for name, value, origin in _settings(task, task.config)}


def _settings(task: TaskRow, config: TaskConfig) -> Iterator[tuple[str, str, str]]:
    budget = task.budget
    columns = {
        "agent": ", ".join(task.agents or [task.agent]),
        "model": task.model,
        "workflow": task.workflow,
        "engine": task.engine,
        "network": (task.network or {}).get("mode"),
        "budget.usd": budget.usd if budget else None,
        "budget.tokens": budget.tokens if budget else None,
    }
    columns |= {name: getattr(config, name) for name in PLAIN if name in config.origins}
    for name, value in columns.items():
        origin = config.origins.get(name, Origin.DEFAULT)
        words = _WORDS.get(origin, str(origin))
        if name == "workflow" and config.workflow_file:
            words += f"; the project's own {config.workflow_file}"
        if value is not None:
            yield name, f"{value}", words
    for name, value in _of_project(config):
        yield name, value, FILE


def _of_project(config: TaskConfig) -> Iterator[tuple[str, str]]:
    if config.image:
        yield "image", config.image
    for name, value in config.limits.model_dump(exclude_none=True).items():
        yield f"limits.{name}", shown(name, value)
    for name, value in config.environment.items():
        yield f"environment.{name}", value[:200]
    if config.copies:
        yield "copy", ", ".join(config.copies)
    if config.without_setup:
        yield "setup", "left out, because it is not trusted"
    elif config.setup:
        yield "setup", config.setup.script or "; ".join(config.setup.commands)[:500]
    for name, commands in config.hooks.model_dump().items():
        if commands:
            yield f"hooks.{name}", "; ".join(commands)[:500]
