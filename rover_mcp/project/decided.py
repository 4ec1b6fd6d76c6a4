"""What was decided when a task was made, out of the call, the project's configuration and the
user's: kept with the task, so that a resume days later does the same. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.models import Budget
from agent_runner.spec import Disk, Limits
from rover_mcp.network import NetworkMode, NetworkPolicy
from rover_mcp.project.asks import (
    NETWORK_ALLOW,
    NETWORK_MODE,
    Ask,
    config_asks,
    hosts_beyond,
)
from rover_mcp.project.config import (
    FILE,
    HooksConfig,
    LimitsConfig,
    ProjectConfig,
    SetupConfig,
)
from rover_mcp.project.load import FoundConfig
from rover_mcp.project.maximum import (
    PROCESS,
    Wider,
    names_mode,
    openness,
    wider_budget,
    wider_engine,
    wider_network,
)
from rover_mcp.project.values import DevcontainerUse
from rover_mcp.sandbox.protocol import ResourceLimits
from rover_mcp.settings import Settings

DEFAULT_AGENT = "claude"
DEFAULT_WORKFLOW = "swe"


class Origin(StrEnum):
    """Where a setting came from, the strongest first."""

    CALL = "call"
    PROJECT = "project"
    USER = "user"
    DEFAULT = "default"


class Decided(BaseModel):
    """What the project's configuration adds to a task, as its record holds it. Limits that it
    does not name are the user's of the day; those that it names are never more than these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str | None = None
    """of the file's content; None: there was none"""
    image: str | None = None
    limits: LimitsConfig = LimitsConfig()
    environment: dict[str, str] = Field(default_factory=dict[str, str])
    copies: tuple[str, ...] = ()
    setup: SetupConfig | None = None
    devcontainer: DevcontainerUse = "all"
    without_setup: bool = False
    """nobody had trusted the set-up, and nobody could be asked: none of its commands runs"""
    hooks: HooksConfig = HooksConfig()
    origins: dict[str, Origin] = Field(default_factory=dict[str, Origin])
    """of what the task's own columns hold (agent, model, workflow, engine, budget, network), and of
    `devcontainer`"""
    workflow_file: str | None = None
    """the workflow's file, where that is one of the project's own"""
    ignored: bool = False
    """what the project asks for beyond the user's defaults was left out, set-up included"""


@dataclass(frozen=True)
class Asked:
    """What a call names. Empty: nothing."""

    agents: tuple[str, ...] = ()
    model: str | None = None
    workflow: str | None = None
    engine: str | None = None
    budget: Budget | None = None
    network: str | None = None
    devcontainer: DevcontainerUse | None = None
    remote: bool = False
    """over HTTP: by somebody else than the user of this machine"""


@dataclass(frozen=True)
class Settled:
    """A task's settings, and what a person has to know of them."""

    agents: list[str]
    model: str | None
    workflow: str
    engine: str
    budget: Budget | None
    network: NetworkPolicy
    decided: Decided
    warnings: list[str] = field(default_factory=list[str])
    wider: tuple[Wider, ...] = ()
    """what the call asks for beyond the user's own configuration: only a person allows it"""
    asks: tuple[Ask, ...] = ()
    """what the project asks for beyond it, as far as it counts here: it needs consent"""


def settle(asked: Asked, found: FoundConfig | None, settings: Settings) -> Settled:
    """Who wins: the call, the project, the user, the default; but neither call nor project weakens
    the isolation that the user chose or takes more than the user's limits. What is beyond them is
    settled as it was asked for, and named: `wider` and `asks`."""
    config = found.config if found else ProjectConfig()
    origins: dict[str, Origin] = {}
    warnings: list[str] = []
    agents = [asked.agents, tuple(config.agent_names), settings.agents]
    chosen = _first("agent", agents, origins, (DEFAULT_AGENT,))
    models = [
        model if _agent_at(agents, level) == chosen[0] else None
        for level, model in enumerate((asked.model, config.model, settings.model))
    ]
    workflows = [asked.workflow, config.workflow, settings.workflow]
    engine = _engine(asked.engine, config, settings, origins, warnings)
    levels = [asked.devcontainer, config.devcontainer, _named_use(settings)]
    use: DevcontainerUse = _first("devcontainer", levels, origins, "all")
    budget = _budget(asked.budget, config, settings, origins, warnings)
    network = _network(asked.network, config, settings, origins, warnings)
    warnings += _opened(config, settings)
    return Settled(
        agents=list(chosen),
        model=_first("model", models, origins, None),
        workflow=_first("workflow", workflows, origins, DEFAULT_WORKFLOW),
        engine=engine,
        budget=budget,
        network=network,
        warnings=warnings,
        wider=(
            *wider_engine(asked.engine, settings, remote=asked.remote),
            *wider_network(NetworkMode(asked.network) if asked.network else None, settings),
            *wider_budget(asked.budget, settings, None),
        ),
        asks=_counting(config, settings, origins["network"], network),
        decided=Decided(
            digest=found.digest if found else None,
            image=config.image,
            limits=config.limits,
            environment=config.environment,
            copies=tuple(config.copy_files),
            setup=config.setup,
            devcontainer=use,
            hooks=config.hooks,
            origins=origins,
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
        if value:
            origins[name] = origin
            return value
    return default


def _named_use(settings: Settings) -> DevcontainerUse | None:
    return settings.devcontainer if "devcontainer" in settings.model_fields_set else None


def _agent_at(levels: list[tuple[str, ...]], level: int) -> str:
    """The agent that a level's model is meant for: its own, or the next weaker one's."""
    return next((agents[0] for agents in levels[level:] if agents), DEFAULT_AGENT)


def _engine(
    asked: str | None,
    config: ProjectConfig,
    settings: Settings,
    origins: dict[str, Origin],
    warnings: list[str],
) -> str:
    wanted, mine = config.engine, str(settings.engine)
    origin, engine = Origin.USER if mine != "auto" else Origin.DEFAULT, mine
    if asked and not (asked == "auto" and mine not in ("auto", PROCESS)):
        origin, engine = Origin.CALL, asked
    elif wanted and wanted != "auto" and mine in ("auto", "process"):
        origin, engine = Origin.PROJECT, wanted
    elif wanted and wanted not in ("auto", mine):
        warnings.append(f"{FILE} asks for the engine {wanted}; your config.yaml says {mine}")
    origins["engine"] = origin
    return engine


def _budget(
    asked: Budget | None,
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
        given = getattr(asked, name) if asked else None
        if given is None and theirs and most and theirs > most:
            warnings.append(f"{FILE}: budget.{name} {theirs:,} is cut to {most:,}, your own")
            theirs = most
        if value := _first(f"budget.{name}", [given, theirs, most], origins, None):
            values[name] = value
    return Budget(**values) if values else None


def _network(
    asked: str | None,
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
    if asked:
        origin, mode = Origin.CALL, NetworkMode(asked)
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
    told: list[str] = []
    if config.image:
        told.append(f"{FILE}: sandboxes are made from the image {config.image}")
    for name, most in _maxima(settings).items():
        wanted = getattr(config.limits, name)
        if wanted is not None and wanted > most:
            asked, mine = shown(name, wanted), shown(name, most)
            told.append(f"{FILE}: limits.{name} {asked} is cut to {mine}, your own maximum")
    return told


def shown(name: str, value: float) -> str:
    """A limit with its unit."""
    if name in ("memory", "disk"):
        return f"{value / 2**30:g} GiB" if value >= 2**30 else f"{value / 2**20:g} MiB"
    return f"{value:g}" + ("" if name in ("cpus", "pids") else " s")


def _maxima(settings: Settings) -> Mapping[str, float]:
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


def resource_limits(settings: Settings, decided: Decided | None) -> ResourceLimits:
    """A sandbox's limits: the project's where they are less than the user's."""
    of = _least(settings, decided)
    return ResourceLimits(memory_bytes=of["memory"], cpus=of["cpus"], pids=of["pids"])


def disk_limit(settings: Settings, decided: Decided | None) -> Disk:
    """What a task may hold on disk: the project's where that is less than the user's."""
    limit = _least(settings, decided)["disk"]
    return Disk(limit_bytes=limit, floor_bytes=settings.min_free_bytes)


def run_limits(settings: Settings, decided: Decided | None) -> Limits:
    """A run's limits: the project's where they are less than the user's."""
    names = ("agent_timeout", "command_timeout", "agent_silence")
    of = _least(settings, decided)
    return settings.limits.model_copy(update={name: of[name] for name in names})


def _least(settings: Settings, decided: Decided | None) -> dict[str, Any]:
    asked = decided.limits if decided else LimitsConfig()
    found: dict[str, Any] = {}
    for name, most in _maxima(settings).items():
        wanted = getattr(asked, name)
        found[name] = most if wanted is None else min(wanted, most)
    return found
