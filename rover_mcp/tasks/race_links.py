"""Which agents race, and the link between their tasks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.task_links import Racer, TaskLinks
from rover_mcp.store.records import NewTask

MOST_RACERS: Final = 8


def in_a_race(several: Sequence[NewTask]) -> list[NewTask]:
    """The new tasks with the link between them; a single one is in no race."""
    if len(several) == 1:
        return list(several)
    racers = tuple(Racer(task=new.id, agent=new.agent) for new in several)
    return [
        replace(new, links=(new.links or TaskLinks()).model_copy(update={"race": racers}))
        for new in several
    ]


def racing_agents(agents: Sequence[str], agent: str | None, model: str | None) -> list[str]:
    """The agents that a call names, each for a task of its own.

    Raises:
        UserFixable: the call contradicts itself, or names too many.
    """
    # A race costs as many times as much as a task, so a call that may have meant the agents that
    # take turns in one task is refused.
    names = [name for one in agents if (name := one.strip())]
    if agent:
        raise UserFixable(
            "agent and agents contradict each other: agents are several tasks, which race",
            code="invalid_race",
            instead={"agent": None},
        )
    if model and len(set(names)) > 1:
        raise UserFixable(
            f"{model[:80]!r} is a model of one agent, and {len(set(names))} agents race",
            code="invalid_race",
            hint="leave model out: each agent has a default of its own",
            instead={"model": None},
        )
    if len(names) > MOST_RACERS:
        raise UserFixable(
            f"{len(names)} agents are too many for a race: at most {MOST_RACERS}",
            code="invalid_race",
            instead={"agents": names[:MOST_RACERS]},
        )
    return names
