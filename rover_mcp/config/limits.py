"""The limits of a sandbox and of a run: the project's where they are lower than the user's.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_runner.spec import Disk, RunLimits
from rover_mcp.config.project import LimitsConfig
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.domain.resource_limits import ResourceLimits


def shown(name: str, value: float) -> str:
    """A limit with its unit."""
    if name in ("memory", "disk"):
        return f"{value / 2**30:g} GiB" if value >= 2**30 else f"{value / 2**20:g} MiB"
    return f"{value:g}" + ("" if name in ("cpus", "pids") else " s")


def user_maxima(settings: Settings) -> Mapping[str, float]:
    limits = settings.limits
    return {
        "memory": settings.sandbox_memory_bytes,
        "cpus": settings.sandbox_cpus,
        "pids": settings.sandbox_pids,
        "disk": settings.sandbox_disk_bytes,
        "agent_timeout": limits.agent_timeout,
        "command_timeout": limits.command_timeout,
        "agent_silence": limits.agent_silence,
    }


def resource_limits(settings: Settings, decided: TaskConfig | None) -> ResourceLimits:
    """A sandbox's limits: the project's where they are less than the user's."""
    of = _least(settings, decided)
    return ResourceLimits(memory_bytes=of["memory"], cpus=of["cpus"], pids=of["pids"])


def disk_limit(settings: Settings, decided: TaskConfig | None) -> Disk:
    """What a task may hold on disk: the project's where that is less than the user's."""
    limit = _least(settings, decided)["disk"]
    return Disk(limit_bytes=limit, floor_bytes=settings.min_free_bytes)


def run_limits(settings: Settings, decided: TaskConfig | None) -> RunLimits:
    """A run's limits: the project's where they are less than the user's."""
    names = ("agent_timeout", "command_timeout", "agent_silence")
    of = _least(settings, decided)
    return settings.limits.model_copy(update={name: of[name] for name in names})


# A project may ask for less than the user allows, and never for more.
def _least(settings: Settings, decided: TaskConfig | None) -> dict[str, Any]:
    own_limits = decided.limits if decided else LimitsConfig()
    values: dict[str, Any] = {}
    for name, most in user_maxima(settings).items():
        wanted = getattr(own_limits, name)
        values[name] = most if wanted is None else min(wanted, most)
    return values
