"""The options of a new task: the call decides, else the project, the user, the default. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent_runner.models import Budget
from rover_mcp.config.limits import shown, user_maxima
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
    MaximumExceeded,
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
"""Options that the task's table has no column for. The strongest level that names one decides, and
nothing else depends on it."""


@dataclass(frozen=True)
class ResolvedOptions:
    """A task's options, and what a person has to know of them."""

    agents: list[str]
    model: str | None
    workflow: str
    engine: str
    budget: Budget | None
    network: NetworkPolicy
    config: TaskConfig
    warnings: list[str] = field(default_factory=list[str])
    wider: tuple[MaximumExceeded, ...] = ()
    """what the call asks for beyond the user's own configuration: only a person allows it"""
    asks: tuple[Ask, ...] = ()
    """what the project asks for beyond it, as far as it counts here: it needs consent"""


def resolve_options(
    call: TaskOptions, file: FoundConfig | None, settings: Settings, *, remote: bool = False
) -> ResolvedOptions:
    """Who wins: the call, the project, the user, the default; but neither call nor project weakens
    the isolation that the user chose or takes more than the user's limits. What is beyond them is
    resolved as it was asked for, and named in `wider` and `asks`. `remote`: the call came over
    HTTP, from somebody other than the user of this machine."""
    project = file.config if file else ProjectConfig()
    levels = _Levels(call, project, settings)
    # Each of these adds warnings, which a person reads in this order.
    agents, model = levels.agents_and_model()
    engine, budget, network = levels.engine(), levels.budget(), levels.network()
    workflows = [call.workflow, project.workflow, settings.workflow]
    workflow = levels.strongest("workflow", workflows, DEFAULT_WORKFLOW)
    config = _task_config(levels, file.digest if file else None)
    return ResolvedOptions(
        agents=agents,
        model=model,
        workflow=workflow,
        engine=engine,
        budget=budget,
        network=network,
        config=config,
        warnings=[*levels.warnings, *_opened(project, settings)],
        wider=_wider(call, settings, remote=remote),
        asks=_counting(project, settings, levels.origins["network"], network),
    )


def _task_config(levels: _Levels, digest: str | None) -> TaskConfig:
    """What the task keeps in its row, beside the columns of their own."""
    project = levels.project
    return TaskConfig(
        digest=digest,
        image=project.image,
        limits=project.limits,
        environment=project.environment,
        copies=tuple(project.copy_files),
        setup=project.setup,
        hooks=project.hooks,
        **{name: levels.plain(name) for name in PLAIN},
        origins=levels.origins,
    )


def _wider(call: TaskOptions, settings: Settings, *, remote: bool) -> tuple[MaximumExceeded, ...]:
    """What the call asks for beyond the user's own configuration."""
    return (
        *wider_engine(call.engine, settings, remote=remote),
        *wider_network(NetworkMode(call.network) if call.network else None, settings),
        *wider_budget(call.budget, settings, None),
    )


def _counting(
    project: ProjectConfig, settings: Settings, origin: Origin, network: NetworkPolicy
) -> tuple[Ask, ...]:
    """What the project asks for, without a network that the call did not take from it."""
    left_out = set[str]()
    if origin is not Origin.PROJECT:
        left_out.add(NETWORK_MODE)
    if not set(network.allow) & set(hosts_beyond(project, settings)):
        left_out.add(NETWORK_ALLOW)
    return tuple(ask for ask in config_asks(project, settings) if ask.name not in left_out)


@dataclass
class _Levels:
    """Those who may set an option, the strongest first, and what came of asking them."""

    call: TaskOptions
    project: ProjectConfig
    settings: Settings
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    warnings: list[str] = field(default_factory=list[str])

    def strongest(self, name: str, levels: list[Any], default: Any) -> Any:
        """The value of the strongest level that has one; its origin is kept."""
        for origin, value in zip(Origin, [*levels, default], strict=True):
            if value not in (None, "", ()):
                self.origins[name] = origin
                return value
        return default

    def plain(self, name: str) -> Any:
        """The value of an option that depends on no other."""
        # The value of a setting that config.yaml does not name is a default, not the user's choice.
        named = name in self.settings.model_fields_set
        users = getattr(self.settings, name, None) if named else None
        levels = [getattr(self.call, name), getattr(self.project, name, None), users]
        return self.strongest(name, levels, TaskConfig.model_fields[name].default)

    def agents_and_model(self) -> tuple[list[str], str | None]:
        """A level's model counts only for the agent that it is meant for: the level's own, or the
        next weaker one's."""
        agents = [self.call.agents, tuple(self.project.agent_names), self.settings.agents]
        chosen = self.strongest("agent", agents, (DEFAULT_AGENT,))
        meant_for = [
            next((names[0] for names in agents[level:] if names), DEFAULT_AGENT)
            for level in range(len(agents))
        ]
        models = (self.call.model, self.project.model, self.settings.model)
        fitting = [
            model if agent == chosen[0] else None
            for model, agent in zip(models, meant_for, strict=True)
        ]
        return list(chosen), self.strongest("model", fitting, None)

    def engine(self) -> str:
        call, wanted, users = self.call.engine, self.project.engine, str(self.settings.engine)
        origin, engine = Origin.USER if users != "auto" else Origin.DEFAULT, users
        if call and not (call == "auto" and users not in ("auto", PROCESS)):
            origin, engine = Origin.CALL, call
        elif wanted and wanted != "auto" and users in ("auto", PROCESS):
            origin, engine = Origin.PROJECT, wanted
        elif wanted and wanted not in ("auto", users):
            self.warnings.append(
                f"{FILE} asks for the engine {wanted}; your config.yaml says {users}"
            )
        self.origins["engine"] = origin
        return engine

    def budget(self) -> Budget | None:
        """The budget. The limits in US dollars and in tokens are resolved separately: the call's,
        else the project's up to the user's. A call that gives more than the user's needs a person:
        `wider_budget`."""
        users = self.settings.budget or Budget()
        values: dict[str, Any] = {}
        for name in ("usd", "tokens"):
            projects, most = getattr(self.project.budget, name), getattr(users, name)
            calls = getattr(self.call.budget, name) if self.call.budget else None
            if calls is None and projects and most and projects > most:
                self.warnings.append(
                    f"{FILE}: budget.{name} {projects:,} is cut to {most:,}, your own"
                )
                projects = most
            if value := self.strongest(f"budget.{name}", [calls, projects, most], None):
                values[name] = value
        return Budget(**values) if values else None

    def network(self) -> NetworkPolicy:
        """What the task can reach. A mode that the user named is the most that a project opens."""
        policy = NetworkPolicy(mode=self._network_mode())
        hosts = self.project.network.allow
        if not hosts or policy.mode is not NetworkMode.ALLOWLIST:
            return policy
        self.warnings.append(f"{FILE} opens the network to {', '.join(hosts)}")
        return policy.with_hosts(hosts)

    def _network_mode(self) -> NetworkMode:
        wanted = NetworkMode(self.project.network.mode) if self.project.network.mode else None
        users, named = self.settings.network.mode, names_mode(self.settings)
        origin, mode = (Origin.USER if named else Origin.DEFAULT), users
        if self.call.network:
            origin, mode = Origin.CALL, NetworkMode(self.call.network)
        elif wanted and named and openness(wanted) > openness(users):
            self.warnings.append(
                f"{FILE} asks for network: {wanted}; your config.yaml says {users}"
            )
        elif wanted:
            origin, mode = Origin.PROJECT, wanted
            if wanted is NetworkMode.OPEN:
                self.warnings.append(f"{FILE} opens the network: every public host can be reached")
        self.origins["network"] = origin
        return mode


def _opened(config: ProjectConfig, settings: Settings) -> list[str]:
    """Warnings about what the project opens and what it is denied, because neither happens
    silently."""
    warnings: list[str] = []
    if config.image:
        warnings.append(f"{FILE}: sandboxes are made from the image {config.image}")
    for name, most in user_maxima(settings).items():
        wanted = getattr(config.limits, name)
        if wanted is not None and wanted > most:
            theirs, mine = shown(name, wanted), shown(name, most)
            warnings.append(f"{FILE}: limits.{name} {theirs} is cut to {mine}, your own maximum")
    return warnings
