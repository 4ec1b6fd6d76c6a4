"""Every limit and default, by name. A data folder's `config.yaml` may set any of them.

home/config.yaml
    engine: auto
    concurrency: 2
    retry: {max_auto_retries: 5}
    credentials: {anthropic: {command: "pass show anthropic"}}
    network: {mode: allowlist, allow: [example.org]}
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent_runner.acp_programs import AcpProgram
from agent_runner.agents import acp_program, agent_names, agent_provider
from agent_runner.models import Budget
from agent_runner.spec import CommitStyle, RunLimits
from rover_mcp.config.allowed_secrets import AllowedSecret
from rover_mcp.config.hooks import Hook, HookRetry, named
from rover_mcp.config.http import HttpSettings
from rover_mcp.config.trusted_projects import TrustedProject
from rover_mcp.config.values import DevcontainerUse
from rover_mcp.domain.model_rates import Rates
from rover_mcp.domain.network_policy import NetworkPolicy

_ACCOUNT_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
_BRANCH_PREFIX = r"^[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*$"


class _SettingsModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RetrySettings(_SettingsModel):
    """Automatic resumption. Times in seconds, doubling from first to most."""

    max_auto_retries: int = Field(default=5, ge=0)
    """in a row that brought nothing; then a task waits for resume_task. Work resets the count, and
    a resume at a time that the provider named does not count. After a rate limit, a usage window or
    credits there is no end. 0: no task resumes automatically"""
    transient_first: float = Field(default=60, gt=0)
    """after a transient error or a rate limit without a known end"""
    transient_most: float = Field(default=3600, gt=0)
    """the longest of these"""
    credits_first: float = Field(default=900, gt=0)
    """after credits ran out or a usage window closed without a known end"""
    credits_most: float = Field(default=6 * 3600, gt=0)
    """the longest of these"""
    interrupted_first: float = Field(default=2, gt=0)
    """after a sandbox was killed, the first time; then as for a transient error"""
    look_again: float = Field(default=6 * 3600, ge=0)
    """how often a usage window or credits that open later are tried all the same, by one task: they
    may have opened early. 0: never"""
    jitter: float = Field(default=0.1, ge=0, le=1)
    """share of a delay that is added at random"""


class CredentialSource(_SettingsModel):
    """Where a provider's key comes from when no client supplies it. Exactly one of env, file,
    command, login and passthrough. Further accounts of a provider have names of their own, as in
    `anthropic:work`; where one refuses, the next in the file takes over."""

    env: str | None = None
    """a variable of the daemon's environment"""
    file: str | None = None
    """a file that holds the key alone"""
    command: str | None = None
    """a command that prints the key; no shell reads it"""
    lifetime: float = Field(default=300, ge=0)
    """seconds for which what `command` printed is used before it is run again, kept in memory
    alone; a provider's 401 or 403 has it run again at once"""
    login: Literal["claude", "codex"] | None = None
    """the subscription that this program is logged in to on this machine: `claude` under anthropic,
    `codex` under openai. Its file is read at each use and stays outside, see docs/gateway.md"""
    folder: str | None = None
    """where that program keeps it, if not in its usual folder: CLAUDE_CONFIG_DIR, CODEX_HOME"""
    passthrough: bool = False
    """the agent's own login goes on to the provider as it is; it then is inside the sandbox,
    see docs/gateway.md"""
    base_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """where the provider's API is, if not at its own address"""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        sources = (self.env, self.file, self.command, self.login, self.passthrough or None)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("give exactly one of env, file, command, login, passthrough")
        if self.folder is not None and self.login is None:
            raise ValueError("folder is only for login")
        return self


class LogSettings(_SettingsModel):
    """Of `daemon.log` in the data folder. Sizes in bytes."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """how much is written; debug adds what the libraries say of each request"""
    file_bytes: int = Field(default=5_000_000, ge=10_000)
    """of one file; then it becomes `daemon.log.1`, and so on"""
    old_files: int = Field(default=1, ge=0, le=100)
    """how many of those are kept"""
    lines_per_second: float = Field(default=20, gt=0)
    """in the long run; of more, and of lines that repeat themselves, only the number is written"""


class Settings(_SettingsModel):
    """One data folder's settings. Times in seconds, sizes in bytes."""

    home: Path = Field(exclude=True)
    """the data folder itself, which config.yaml cannot set"""
    text: str = Field(default="", exclude=True, repr=False)
    """config.yaml as it was read"""
    wrong: str = Field(default="", exclude=True, repr=False)
    """why config.yaml cannot be used, where these are those of the last one that could"""
    database: str | None = Field(default=None, repr=False)
    """URL of a PostgreSQL database that several daemons may share; by default an embedded one"""
    lease: float = Field(default=60, gt=0)
    """where the database is shared: a daemon on another host that has not been heard of for so
    long has ended, and its work is taken over"""
    agent_programs: dict[str, AcpProgram] = Field(default_factory=dict[str, AcpProgram])
    """your own, by name: any that speak the Agent Client Protocol, see below"""
    engine: Literal["auto", "docker", "podman", "bubblewrap", "process"] = "auto"
    """what runs sandboxes; auto: the first that works and isolates. One that is named is the only
    one that a call gets. process: NO isolation"""
    allow_process: bool = False
    """true: a call may name the engine process, also with the agent scripted, whose commands the
    call gives: whatever may call Rover on this machine has a shell there. Not over HTTP"""
    base_image: str = "debian:bookworm-slim"
    """the image that Docker sandboxes are built on: any with bash and git, or apt, apk, dnf"""
    concurrency: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 2)), ge=1)
    """sandboxes at a time; by default as many as there are cores"""
    agents: tuple[str, ...] = ()
    """who does the work where neither the call nor the project names one; the next may take over;
    by default claude"""
    model: str | None = None
    """the first agent's model, where neither the call nor the project names one"""
    workflow: str | None = None
    """where neither the call nor the project names one; by default swe"""
    devcontainer: DevcontainerUse = "all"
    """of a repository's devcontainer.json, where neither the call nor the project says it: `off`,
    nothing; `image`, its image and variables without its commands; `all`"""
    toolchains: tuple[Path, ...] | None = None
    """folders of programs in your HOME, such as ~/.nvm/versions/node/v24.1.0, that sandboxes of
    bubblewrap see, read-only and with all that is in them; [] takes away the warning that names
    such folders"""
    branch_prefix: str = Field(default="rover", max_length=80, pattern=_BRANCH_PREFIX)
    """what comes before the / in the names of tasks' branches; change it where the repository has
    a branch of that very name"""
    budget: Budget | None = None
    """`usd`, `tokens`: what a task may cost before it pauses; projects and calls can only
    lower it"""
    auto_resume: bool = True
    """false: no paused task resumes automatically"""
    retry: RetrySettings = RetrySettings()
    """see below"""
    limits: RunLimits = RunLimits()
    """of a run, see below"""
    network: NetworkPolicy = NetworkPolicy()
    """what sandboxes may reach, see below; calls can only narrow it. A task keeps the mode that it
    was created with; hosts that are added to `allow` hold for its next attempt"""
    trusted_projects: tuple[TrustedProject, ...] = ()
    """repositories whose own configuration counts without `rover trust`, see below"""
    allowed_secrets: tuple[AllowedSecret, ...] = ()
    """what looks like a secret and may be pushed all the same, see below and docs/secrets.md"""
    credentials: dict[str, CredentialSource] = Field(default_factory=dict[str, CredentialSource])
    """by provider (anthropic, openai, google), or PROVIDER:NAME for several accounts of one, see
    below"""
    prices: dict[str, dict[str, Rates]] = Field(default_factory=dict[str, dict[str, Rates]])
    """what models cost that Rover knows no price of, or another one: by provider and the model's
    whole name, see below. A budget in US dollars needs it"""
    hooks: tuple[Hook, ...] = ()
    """whom to tell when a task pauses or ends, see below and docs/notifications.md"""
    hook_retry: HookRetry = HookRetry()
    """see below"""
    claude_channel: bool = False
    """true: notable events are put into Claude Code sessions as prompts, where that is allowed
    there; see docs/notifications.md"""
    sandbox_memory_bytes: int = Field(default=4 * 1024**3, gt=0)
    """where the engine can limit it"""
    sandbox_cpus: float = Field(default=2.0, gt=0)
    """where the engine can limit it"""
    sandbox_pids: int = Field(default=1024, gt=0)
    """processes, where the engine can limit them"""
    sandbox_connections: int = Field(default=128, gt=0)
    """open at the gateway at a time; fewer where the limit of open files is low (`ulimit -Hn`)"""
    sandbox_disk_bytes: int = Field(default=20 * 10**9, gt=0)
    """all that is kept of a task: work tree, HOME, journal, logs, and snapshots twice, as bundles
    and in the project's hub; watched, so a fast writer may exceed it for seconds"""
    package_cache_bytes: int = Field(default=500 * 10**6, ge=0)
    """of packages that are kept for the next tasks of a project, see docs/packages.md; 0: none"""
    sandbox_files: int = Field(default=1_000_000, gt=0)
    """files and folders of the same; watched likewise, for empty files fill a disk too"""
    stop_grace: float = Field(default=20, gt=0)
    """from SIGTERM to SIGKILL of a sandbox"""
    spare_sandboxes: int = Field(default=1, ge=0)
    """sandboxes that wait, started, for the next task of a project; 0: none"""
    spare_seconds: float = Field(default=600, gt=0)
    """how long one waits before it is removed"""
    spare_delay: float = Field(default=2, ge=0)
    """how long after a task's start the next one's sandbox is made ready"""
    setup_timeout: float = Field(default=1800, gt=0)
    """of each command of a project's setup"""
    startup_timeout: float = Field(default=300, gt=0)
    """from the start of a sandbox to its runner's first record; making an image does not count"""
    sweep_interval: float = Field(default=30, gt=0)
    """the slow reconciliation of what the store says with what runs"""
    queue_poll: float = Field(default=0.05, gt=0)
    """how often the queue is asked after a client's call"""
    queue_poll_idle: float = Field(default=1.0, gt=0)
    """how often it is asked otherwise"""
    queue_eager: float = Field(default=15, gt=0)
    """how long after a client's call the queue is asked often"""
    idle_exit: float = Field(default=900, gt=0)
    """the daemon ends after this long with nothing connected, running or scheduled"""
    min_free_bytes: int = Field(default=200 * 1024**2, ge=0)
    """with less left on the data folder's disk no task is created, and what runs pauses"""
    min_free_files: int = Field(default=10_000, ge=0)
    """the same for the number of files that can still be made there"""
    keep_work_trees_hours: float = Field(default=24, ge=0)
    """after them a finished task's work tree goes if the hub has its result; soon on a full disk"""
    trash_days: float = Field(default=14, ge=0)
    """for so long a deleted task can be given back (`rover undelete`); 0: it is gone at once"""
    commits: CommitStyle = CommitStyle()
    """of the commits that Rover makes, see below"""
    attention_limit: int = Field(default=10, gt=0)
    """news in one tool result"""
    max_frame_bytes: int = Field(default=16 * 1024**2, gt=0)
    """one message of a client"""
    http: HttpSettings = HttpSettings()
    """of `rover-mcp --http`, see below"""
    log: LogSettings = LogSettings()
    """see below"""

    @field_validator("agent_programs")
    @classmethod
    def _names(cls, agents: dict[str, AcpProgram]) -> dict[str, AcpProgram]:
        for name in agents:
            if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name):
                raise ValueError(f"{name!r}: an agent's name consists of a-z, 0-9 and -")
            if name in agent_names() and acp_program(name) is None:
                raise ValueError(f"{name} is an agent that rover drives in its own way")
        return agents

    @field_validator("toolchains")
    @classmethod
    def _absolute(cls, folders: tuple[Path, ...] | None) -> tuple[Path, ...] | None:
        expanded = None if folders is None else tuple(folder.expanduser() for folder in folders)
        for folder in expanded or ():
            if not folder.is_absolute():
                raise ValueError(f"{folder} must begin with / or ~")
        return expanded

    @field_validator("hooks")
    @classmethod
    def _named(cls, hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
        return named(hooks)

    @field_validator("credentials")
    @classmethod
    def _own_log_ins(cls, sources: dict[str, CredentialSource]) -> dict[str, CredentialSource]:
        for key, source in sources.items():
            provider, colon, name = key.partition(":")
            if colon and not re.fullmatch(_ACCOUNT_NAME, name):
                raise ValueError(
                    f"{key!r}: an account's name consists of letters, digits, ., _ and -"
                )
            if source.login and provider != agent_provider(source.login):
                raise ValueError(f"{source.login}'s login is not one for {provider}")
        return sources

    @field_validator("database")
    @classmethod
    def _postgresql(cls, url: str | None) -> str | None:
        scheme, _, rest = (url or "postgresql://").partition("://")
        if scheme not in ("postgresql", "postgresql+psycopg"):
            raise ValueError("give a URL that begins with postgresql://")
        return f"postgresql+psycopg://{rest}" if url else None
