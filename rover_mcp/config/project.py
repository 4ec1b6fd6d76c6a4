"""The language of `.rover/config.yaml`. docs/configuration.md and the JSON Schema come from it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from agent_runner.spec import StepHooks
from rover_mcp.config.values import (
    MAX_TEXT,
    Command,
    DevcontainerUse,
    RepoPath,
    Seconds,
    Size,
    Value,
    variable_fault,
)
from rover_mcp.domain.network_policy import BadHost, HostPattern

FILE = ".rover/config.yaml"

EngineName = Literal["auto", "docker", "podman", "bubblewrap"]
"""What a project may ask for: never `process`, which isolates nothing."""

MAX_COPIES = 50
MAX_VARIABLES = 200
MAX_COMMANDS = 50

Commands = Annotated[list[Command], Field(max_length=MAX_COMMANDS)]
_Name = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f-][^\x00-\x1f]*$")
]


class _ProjectModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class LimitsConfig(_ProjectModel):
    """What one run may use. Your own config.yaml is the maximum: more is cut down to it."""

    memory: Size | None = None
    """of a sandbox: 512MiB, 4GiB"""
    cpus: float | None = Field(default=None, gt=0, le=1024)
    """cores of a sandbox"""
    pids: int | None = Field(default=None, ge=16, le=2**22)
    """processes in a sandbox"""
    disk: Size | None = None
    """of all that is kept of a task; watched: a fast writer exceeds it for some seconds"""
    agent_timeout: Seconds | None = None
    """of an agent step, where the workflow names no time: 45m"""
    command_timeout: Seconds | None = None
    """of a command step, where the workflow names no time"""
    agent_silence: Seconds | None = None
    """an agent that says nothing for so long is stopped"""


class NetworkConfig(_ProjectModel):
    """What a task may reach, through the gateway only."""

    mode: Literal["none", "providers", "allowlist", "open"] | None = None
    """none; providers: the model APIs; allowlist: also package registries, git hosts and `allow`;
    open: every public host, which the task's warnings say"""
    allow: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        default_factory=list[str], max_length=200
    )
    """further hosts: example.org, *.example.org, example.org:8443"""

    @field_validator("allow")
    @classmethod
    def _hosts(cls, allow: list[str]) -> list[str]:
        for text in allow:
            try:
                HostPattern.parse(text)
            except BadHost as error:
                raise ValueError(f"{text[:80]!r}: {error}") from error
        return allow


class SetupConfig(_ProjectModel):
    """Prepares the sandboxes of this project's tasks, in place of the devcontainer's commands: once
    for each change where the engine keeps images, else in each task. One of the two."""

    script: RepoPath | None = None
    """a script of the repository"""
    commands: Commands = Field(default_factory=list[str])
    """or commands"""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.script is None) == (not self.commands):
            raise ValueError("give either script or commands")
        return self


class HooksConfig(_ProjectModel):
    """Commands that run in the sandbox, as steps of the task: never on your machine itself. One
    that fails is a step that fails."""

    before_agent: Commands = Field(default_factory=list[str])
    """before each agent step"""
    after_step: Commands = Field(default_factory=list[str])
    """after each step of the workflow that an agent or a command did"""
    after_task: Commands = Field(default_factory=list[str])
    """once, after the workflow's last step"""

    def as_spec(self) -> StepHooks:
        """Return them as the runner receives them."""
        return StepHooks(
            before_agent=tuple(self.before_agent),
            after_step=tuple(self.after_step),
            after_task=tuple(self.after_task),
        )


class BudgetConfig(_ProjectModel):
    """What a task may cost before it pauses and asks."""

    usd: float | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)
    """money"""
    tokens: int | None = Field(default=None, gt=0, le=10**12)
    """tokens of all kinds together"""


class ProjectConfig(_ProjectModel):
    """How the tasks of this repository run. A call's own arguments go before it."""

    version: Literal[1] = 1
    """of this file's language"""
    agent: _Name | None = None
    """who does the work: see `rover status`"""
    agents: list[_Name] = Field(default_factory=list[str], max_length=10)
    """several, in the order in which they may take over while an account is closed"""
    model: _Name | None = None
    """the first agent's model"""
    workflow: _Name | None = None
    """the steps in which tasks are done: see `rover workflows`"""
    engine: EngineName | None = None
    """what runs the sandboxes; an engine that your own config.yaml names goes before it"""
    image: (
        Annotated[str, Field(max_length=500, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")] | None
    ) = None
    """the container image that sandboxes are built on"""
    devcontainer: DevcontainerUse | None = None
    """what of the repository's devcontainer.json counts: off, nothing; image, its image and its
    variables without its commands; all, the default"""
    limits: LimitsConfig = LimitsConfig()
    """see below"""
    network: NetworkConfig = NetworkConfig()
    """see below"""
    environment: dict[str, Value] = Field(default_factory=dict[str, str], max_length=MAX_VARIABLES)
    """variables of the agent and the commands, as literal values; never a secret"""
    copy_files: list[RepoPath] = Field(
        default_factory=list[str], alias="copy", max_length=MAX_COPIES
    )
    """files of your checkout that git does not track, such as .env, which the agent shall see.
    They never become part of a branch or a snapshot"""
    setup: SetupConfig | None = None
    """see below"""
    hooks: HooksConfig = HooksConfig()
    """see below"""
    budget: BudgetConfig = BudgetConfig()
    """see below"""

    @field_validator("environment")
    @classmethod
    def _variables(cls, environment: dict[str, str]) -> dict[str, str]:
        for name, value in environment.items():
            if wrong := variable_fault(name, value):
                raise PydanticCustomError("variable", "{wrong}", {"wrong": wrong, "key": name})
        if sum(map(len, environment.values())) > 10 * MAX_TEXT:
            raise ValueError(f"the values are longer than {10 * MAX_TEXT} characters together")
        return environment

    @field_validator("copy_files")
    @classmethod
    def _separate(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if paths.count(path) > 1 or any(other.startswith(f"{path}/") for other in paths):
                raise ValueError(f"{path} occurs twice, or is a folder of another one")
        return paths

    @model_validator(mode="after")
    def _agent_or_agents(self) -> Self:
        if self.agent and self.agents:
            raise ValueError("give either agent or agents")
        return self

    @property
    def agent_names(self) -> list[str]:
        """The agents in their order, each once."""
        return list(dict.fromkeys([self.agent] if self.agent else self.agents))


SECTIONS = {
    "limits": LimitsConfig,
    "network": NetworkConfig,
    "setup": SetupConfig,
    "hooks": HooksConfig,
    "budget": BudgetConfig,
}
