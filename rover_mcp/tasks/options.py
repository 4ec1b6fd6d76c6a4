"""What a new task is made with: the call decides, else the project, the user, the default. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent_runner.models import Budget
from rover_mcp.config.limits import (
    shown,
    user_maxima,
)
from rover_mcp.config.load_project import FoundConfig
from rover_mcp.config.project import FILE, ProjectConfig
from rover_mcp.config.project_asks import (
    NETWORK_ALLOW,
    NETWORK_MODE,
    Ask,
    config_asks,
    hosts_beyond,
)
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import Origin, TaskConfig
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.config.user_maximum import (
    PROCESS,
    Wider,
    names_mode,
    openness,
    wider_budget,
    wider_engine,
    wider_network,
)
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy

DEFAULT_AGENT = "claude"
DEFAULT_WORKFLOW = "swe"


PLAIN = tuple(name for name in TaskOptions.model_fields if name in TaskConfig.model_fields)
"""Options without a column of their own. The strongest level that names one decides, and nothing
else depends on it."""


@dataclass(frozen=True)
class ResolvedOptions:
    """A task's settings, and what a person has to know of them."""

    agents: list[str]
    model: str | None
    workflow: str
    engine: str
    budget: Budget | None
    network: NetworkPolicy
    decided: TaskConfig
    warnings: list[str] = field(default_factory=list[str])
    wider: tuple[Wider, ...] = ()
    """what the call asks for beyond the user's own configuration: only a person allows it"""
    asks: tuple[Ask, ...] = ()
    """what the project asks for beyond it, as far as it counts here: it needs consent"""


def settle(
    call: TaskOptions, file: FoundConfig | None, settings: Settings, *, remote: bool = False
) -> ResolvedOptions:
    """Who wins: the call, the project, the user, the default; but neither call nor project weakens
    the isolation that the user chose or takes more than the user's limits. What is beyond them is
    settled as it was asked for, and named: `wider` and `asks`. `remote`: the call came over HTTP,
    from somebody other than the user of this machine."""
    config = file.config if file else ProjectConfig()
    origins: dict[str, Origin] = {}
    warnings: list[str] = []
    agents = [call.agents, tuple(config.agent_names), settings.agents]
    chosen = _first("agent", agents, origins, (DEFAULT_AGENT,))
    models = [
        model if _agent_at(agents, level) == chosen[0] else None
        for level, model in enumerate((call.model, config.model, settings.model))
    ]
    workflows = [call.workflow, config.workflow, settings.workflow]
    engine = _engine(call.engine, config, settings, origins, warnings)
    plain = {name: _plain(name, call, config, settings, origins) for name in PLAIN}
    budget = _budget(call.budget, config, settings, origins, warnings)
    network = _network(call.network, config, settings, origins, warnings)
    warnings += _opened(config, settings)
    return ResolvedOptions(
        agents=list(chosen),
        model=_first("model", models, origins, None),
        workflow=_first("workflow", workflows, origins, DEFAULT_WORKFLOW),
        engine=engine,
        budget=budget,
        network=network,
        warnings=warnings,
        wider=(
            *wider_engine(call.engine, settings, remote=remote),
            *wider_network(NetworkMode(call.network) if call.network else None, settings),
            *wider_budget(call.budget, settings, None),
        ),
        asks=_counting(config, settings, origins["network"], network),
        decided=TaskConfig(
            digest=file.digest if file else None,
            image=config.image,
            limits=config.limits,
            environment=config.environment,
            copies=tuple(config.copy_files),
            setup=config.setup,
            hooks=config.hooks,
            origins=origins,
            **plain,
        ),
    )


def _counting(
    config: ProjectConfig, settings: Settings, origin: Origin, network: NetworkPolicy
) -> tuple[Ask, ...]:
    """What the project asks for, without a network that the call did not take from it."""
    left = set[str]()
    if origin is not Origin.PROJECT:
        left.add(NETWORK_MODE)
    if not set(network.allow) & set(hosts_beyond(config, settings)):
        left.add(NETWORK_ALLOW)
    return tuple(ask for ask in config_asks(config, settings) if ask.name not in left)


def _first(name: str, levels: list[Any], origins: dict[str, Origin], default: Any) -> Any:
    """The strongest level that says something."""
    for origin, value in zip(Origin, [*levels, default], strict=True):
        if value not in (None, "", ()):
            origins[name] = origin
            return value
    return default


def _plain(
    name: str,
    call: TaskOptions,
    config: ProjectConfig,
    settings: Settings,
    origins: dict[str, Origin],
) -> Any:
    # The value of a setting that config.yaml does not name is a default, not the user's choice.
    mine = getattr(settings, name, None) if name in settings.model_fields_set else None
    levels = [getattr(call, name), getattr(config, name, None), mine]
    return _first(name, levels, origins, TaskConfig.model_fields[name].default)


def _agent_at(levels: list[tuple[str, ...]], level: int) -> str:
    """The agent that a level's model is meant for: its own, or the next weaker one's."""
    return next((agents[0] for agents in levels[level:] if agents), DEFAULT_AGENT)


def _engine(
    call: str | None,
    config: ProjectConfig,
    settings: Settings,
    origins: dict[str, Origin],
    warnings: list[str],
) -> str:
    wanted, mine = config.engine, str(settings.engine)
    origin, engine = Origin.USER if mine != "auto" else Origin.DEFAULT, mine
    if call and not (call == "auto" and mine not in ("auto", PROCESS)):
        origin, engine = Origin.CALL, call
    elif wanted and wanted != "auto" and mine in ("auto", "process"):
        origin, engine = Origin.PROJECT, wanted
    elif wanted and wanted not in ("auto", mine):
        warnings.append(f"{FILE} asks for the engine {wanted}; your config.yaml says {mine}")
    origins["engine"] = origin
    return engine


def _budget(
    call: Budget | None,
    config: ProjectConfig,
    settings: Settings,
    origins: dict[str, Origin],
    warnings: list[str],
) -> Budget | None:
    """Each of the two by itself: the call's, else the project's up to the user's. A call that
    gives more than the user's needs a person: `wider_budget`."""
    mine = settings.budget or Budget()
    values: dict[str, Any] = {}
    for name in ("usd", "tokens"):
        theirs, most = getattr(config.budget, name), getattr(mine, name)
        given = getattr(call, name) if call else None
        if given is None and theirs and most and theirs > most:
            warnings.append(f"{FILE}: budget.{name} {theirs:,} is cut to {most:,}, your own")
            theirs = most
        if value := _first(f"budget.{name}", [given, theirs, most], origins, None):
            values[name] = value
    return Budget(**values) if values else None


def _network(
    call: str | None,
    config: ProjectConfig,
    settings: Settings,
    origins: dict[str, Origin],
    warnings: list[str],
) -> NetworkPolicy:
    """What can be reached. A mode that the user named is the most that a project opens."""
    theirs = NetworkMode(config.network.mode) if config.network.mode else None
    mine = settings.network.mode
    named = names_mode(settings)
    origin, mode = (Origin.USER if named else Origin.DEFAULT), mine
    if call:
        origin, mode = Origin.CALL, NetworkMode(call)
    elif theirs and named and openness(theirs) > openness(mine):
        warnings.append(f"{FILE} asks for network: {theirs}; your config.yaml says {mine}")
    elif theirs:
        origin, mode = Origin.PROJECT, theirs
        if theirs is NetworkMode.OPEN:
            warnings.append(f"{FILE} opens the network: every public host can be reached")
    origins["network"] = origin
    policy = NetworkPolicy(mode=mode)
    hosts = config.network.allow
    if not hosts or mode is not NetworkMode.ALLOWLIST:
        return policy
    warnings.append(f"{FILE} opens the network to {', '.join(hosts)}")
    return policy.with_hosts(hosts)


def _opened(config: ProjectConfig, settings: Settings) -> list[str]:
    """What the project opens, and what it is denied: never silently."""
    warnings: list[str] = []
    if config.image:
        warnings.append(f"{FILE}: sandboxes are made from the image {config.image}")
    for name, most in user_maxima(settings).items():
        wanted = getattr(config.limits, name)
        if wanted is not None and wanted > most:
            theirs, mine = shown(name, wanted), shown(name, most)
            warnings.append(f"{FILE}: limits.{name} {theirs} is cut to {mine}, your own maximum")
    return warnings
