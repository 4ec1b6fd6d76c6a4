"""What a call asks for beyond the user's own config.yaml, which is the most that a call gets
without a person. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from agent_runner.models import SCRIPTED, Budget
from rover_mcp.config.settings import Settings
from rover_mcp.domain.network_policy import NetworkMode

PROCESS = "process"
ALLOW_PROCESS = "allow_process: true"


@dataclass(frozen=True)
class MaximumExceeded:
    """One thing beyond it. `line` of config.yaml would allow it; `askable`: where else a person
    may be asked."""

    what: str
    line: str
    askable: Literal["form", "terminal"] | None = "form"


# The modes are compared by what they reach, because their names have no order.
def openness(mode: NetworkMode) -> int:
    """How much a mode reaches; more is wider."""
    return list(NetworkMode).index(mode)


def names_mode(settings: Settings) -> bool:
    """Whether the user's config.yaml names a network mode."""
    return "network" in settings.model_fields_set and "mode" in settings.network.model_fields_set


def allows_process(settings: Settings, *, remote: bool) -> bool:
    """Whether config.yaml lets a call run on this machine itself. Who comes over HTTP gets that
    only where everybody's tasks run so."""
    return settings.engine == PROCESS or (settings.allow_process and not remote)


def wider_engine(
    engine: str | None, settings: Settings, *, remote: bool
) -> Iterator[MaximumExceeded]:
    if engine in (None, "auto"):
        return
    if engine == PROCESS:
        if not allows_process(settings, remote=remote):
            line = f"engine: {PROCESS}" if remote else ALLOW_PROCESS
            what = "engine: process isolates nothing: the agent runs as you, on this machine"
            yield MaximumExceeded(what, line, "terminal")
    elif settings.engine not in ("auto", PROCESS, engine):
        yield MaximumExceeded(
            f"engine: {engine}; config.yaml says {settings.engine}", f"engine: {engine}"
        )


def wider_script(agents: set[str], engine: str, settings: Settings) -> Iterator[MaximumExceeded]:
    """The agent scripted does what the call says, so outside a sandbox it is a shell."""
    if engine == PROCESS and SCRIPTED in agents and not allows_process(settings, remote=False):
        what = "the agent scripted runs commands of the call, and engine: process isolates nothing"
        yield MaximumExceeded(what, ALLOW_PROCESS, None)


def wider_network(mode: NetworkMode | None, settings: Settings) -> Iterator[MaximumExceeded]:
    mine = settings.network.mode
    if mode is not None and openness(mode) > openness(mine):
        hosts = f", allow: [{', '.join(settings.network.allow)}]" if settings.network.allow else ""
        line = f"network: {{mode: {mode}{hosts}}}"
        yield MaximumExceeded(f"network: {mode}; yours is {mine}", line)


def wider_budget(
    budget: Budget | None, settings: Settings, old: Budget | None
) -> Iterator[MaximumExceeded]:
    """`old`: what the task has already."""
    mine, had = settings.budget, old or Budget()
    if budget is None or mine is None:
        return
    values = {name: getattr(mine, name) for name in ("usd", "tokens")}
    beyond: list[str] = []
    for name, most in values.items():
        given, kept = getattr(budget, name), getattr(had, name)
        if given is not None and most is not None and given > max(most, kept or 0):
            beyond.append(f"budget.{name}: {given:,}; yours is {most:,}")
            values[name] = given
    if beyond:
        yield MaximumExceeded(" and ".join(beyond), budget_line(**values))


def for_each(wider: Iterable[MaximumExceeded], tasks: int) -> list[MaximumExceeded]:
    """The same where several tasks are created at once: a person is asked once for all of them."""
    # The question has to name the number: what a person allows for one task, they may not for all.
    if tasks == 1:
        return list(wider)
    return [replace(one, what=f"{one.what} (for each of {tasks} tasks)") for one in wider]


def budget_line(usd: float | None, tokens: int | None) -> str:
    """The line of config.yaml that allows as much."""
    parts = [f"usd: {usd:g}"] if usd else []
    parts += [f"tokens: {tokens}"] if tokens else []
    return f"budget: {{{', '.join(parts)}}}"
