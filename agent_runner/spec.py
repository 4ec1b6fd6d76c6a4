"""The parameters of one attempt: `spec.json`, which the host writes and the runner reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.acp_programs import AcpProgram
from agent_runner.models import AgentSession, Budget, Snapshot, StepState, Usage

SPEC_SCHEMA_VERSION = 1


class _SpecModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class SwitchUser(_SpecModel):
    """Isolation inside a container: the runner is root there, the agent another user."""

    kind: Literal["switch_user"] = "switch_user"
    uid: int = Field(gt=0)
    gid: int = Field(gt=0)


class WrapCommand(_SpecModel):
    """Isolation from outside: this argument list is put before each command (bubblewrap).

    `prefix` ends where the command begins. `forwarder`, between the prefix and an agent's command,
    makes the gateway reachable inside that sandbox. `filtered`: the prefix begins with bwrap, which
    gets the filter of seccomp.py. `init` starts init.py, which reports how a command ended; it
    comes before the forwarder.
    """

    kind: Literal["wrap"] = "wrap"
    prefix: list[str]
    forwarder: list[str]
    filtered: bool = False
    init: list[str] = Field(default_factory=list)
    enter: list[str] = Field(
        default_factory=list, description="before all of it: puts a command into its control group"
    )
    groups: tuple[Path, ...] = Field(
        default=(), description="the control groups, as the runner sees them"
    )


class NoIsolation(_SpecModel):
    """No isolation: commands run on the host as the runner's own user. Only chosen by name."""

    kind: Literal["none"] = "none"


class Paths(_SpecModel):
    """The folders of a task: `run` and `spec` as the runner sees them; `workspace`, `home` and
    `base_objects` as the agent's commands do. They are the same on every attempt, because agents
    find their sessions by the path of the work tree."""

    spec: Path
    run: Path
    workspace: Path = Path("/workspace")
    home: Path = Path("/home/agent")
    base_objects: Path = Path("/rover/base/objects")
    restore: Path = Field(
        default=Path("/rover/spec/restore.bundle"), description="as the agent's commands see it"
    )
    context: Path = Field(
        default=Path("/rover/spec/context"), description="as the agent's commands see it"
    )
    seed: Path | None = Field(
        default=None,
        description="files for a new clone that git ignores (project_setup.py), as commands see it",
    )


class GatewaySpec(_SpecModel):
    """The gateway, the only way out of the sandbox. `socket` is as the runner sees it; `port` is
    the loopback port that forwards to it; `token` is accepted by this gateway alone. `proxy`: hosts
    other than the model APIs can be reached through it, by the usual variables."""

    socket: Path
    port: int = 8377
    token: str
    proxy: bool = False


class RunLimits(_SpecModel):
    """The limits of one run, in seconds and bytes."""

    agent_timeout: float = Field(default=1800, gt=0)
    """an agent step, where the workflow names no time"""
    command_timeout: float = Field(default=300, gt=0)
    """a command step, where the workflow names no time"""
    agent_silence: float = Field(default=600, gt=0)
    """an agent that says nothing for so long is stopped; the step pauses"""
    git_stall: float = Field(default=120, gt=0)
    """git at work on the clone that does nothing at all for so long is stopped, and the task pauses
    if that happens twice; however slow it is, git that gets on has no limit"""
    output_bytes: int = Field(default=100_000, gt=0)
    """of each output stream of a command, the tail"""
    log_bytes: int = Field(default=10_000_000, gt=0)
    """one step's log"""
    bundle_bytes: int = Field(default=2_000_000_000, gt=0)
    """one snapshot as it leaves the sandbox"""
    stop_grace: float = Field(default=5, gt=0)
    """from SIGTERM to SIGKILL of an agent or a command"""
    transient_delays: tuple[float, ...] = (10, 20)
    """waits before the retries in place of a transient error"""
    wait_in_place: float = Field(default=60, ge=0)
    """a provider's retry-after beyond this pauses the task instead of waiting"""


class Disk(_SpecModel):
    """What a task may hold on disk, and what has to stay free of the host's disk (disk_watch.py).
    `folders` are work tree and HOME as the runner sees them, `records` is the run folder.
    `elsewhere`: what is kept of the task where the runner cannot see it. `shown`: the host's names
    of folders that the runner sees under others."""

    limit_bytes: int = Field(gt=0)
    floor_bytes: int = Field(ge=0)
    limit_files: int | None = Field(default=None, gt=0)
    floor_files: int = Field(default=0, ge=0)
    folders: tuple[Path, ...] = ()
    records: tuple[Path, ...] = ()
    elsewhere_bytes: int = Field(default=0, ge=0)
    elsewhere_files: int = Field(default=0, ge=0)
    shown: dict[str, str] = Field(default_factory=dict[str, str])


class Restore(_SpecModel):
    """A state of the work tree: a snapshot's commit, and what the branch pointed at. Both are in a
    bundle in the spec folder, from which a work tree that is missing is made again."""

    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    head: str = Field(pattern=r"^[0-9a-f]{40}$")


class StepHooks(_SpecModel):
    """Commands that become steps of the run: see workflow/step_hooks.py."""

    before_agent: tuple[str, ...] = ()
    after_step: tuple[str, ...] = ()
    after_task: tuple[str, ...] = ()


class Setup(_SpecModel):
    """The project's setup (project_setup.py). If `key` differs, it has to run again."""

    tried: tuple[str, ...] = Field(
        default=(), description="run first; one that fails is only a warning"
    )
    commands: tuple[str, ...]
    key: str
    timeout: float = Field(default=1800, gt=0, description="of each command, in seconds")


class ContextFile(_SpecModel):
    """Something that the user gave the task to read: a file in the folder `Paths.context`. `origin`
    and `title` were written by other people."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,120}$")
    origin: str
    title: str


class CommitStyle(_SpecModel):
    """The style of the commit that Rover makes of what an agent has not committed itself."""

    author: str | None = Field(
        default=None,
        pattern=r"^[^\x00-\x1f<>]{1,200} <[^\x00-\x20<>]{1,200}>$",
        description="`Name <address>`; without it `Rover agent`. Rover stays the committer",
    )
    co_author: bool = Field(
        default=False, description="with a trailer `Co-authored-by` that names the agent"
    )
    cost: bool = Field(
        default=False,
        description="with trailers `Rover-Tokens` and `Rover-Cost`: what the task used until then",
    )


class ReviewComment(_SpecModel):
    """What a reviewer remarks about a file, or about one of its lines."""

    file: str = Field(min_length=1, max_length=1000)
    line: int | None = Field(default=None, ge=1)
    text: str = Field(min_length=1, max_length=10_000)


class Instructions(_SpecModel):
    """What a further iteration is to do. `changes` is the beginning of the patch that the task's
    branch holds already; agents wrote it."""

    text: str
    comments: tuple[ReviewComment, ...] = ()
    changes: str = ""
    rewound: str = Field(
        default="", description="to what the work tree was set back first, in words"
    )


class ShellSpec(_SpecModel):
    """A person's shell, which runs in place of the workflow. Without `argv` it is a login shell."""

    argv: tuple[str, ...] = ()
    terminal: bool = True
    term: str = Field(default="xterm-256color", pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    rows: int = Field(default=24, ge=1, le=10_000)
    columns: int = Field(default=80, ge=1, le=10_000)


class RunSpec(_SpecModel):
    """One attempt of one iteration of one task."""

    schema_version: Literal[1] = SPEC_SCHEMA_VERSION
    task_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    number: int = Field(ge=1)
    iteration: int = Field(ge=1)
    attempt: int = Field(ge=1)
    title: str
    description: str
    branch: str
    base_commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    agent: str
    model: str | None = None
    inputs: dict[str, str] = Field(default_factory=dict)
    authorities: bool = False
    """whether HOME has a file of certificate authorities to trust"""
    environment: dict[str, str] = Field(
        default_factory=dict, description="for the agent and the commands; never a secret"
    )
    variables: dict[str, str] = Field(
        default_factory=dict,
        description="of the project: set inside the sandbox only, and never before what is ours",
    )
    copies: tuple[str, ...] = Field(
        default=(), description="files of the user's checkout (local_files.py): never in a snapshot"
    )
    context: tuple[ContextFile, ...] = Field(
        default=(), description="what the agent is given to read beside the description"
    )
    hooks: StepHooks = Field(default_factory=StepHooks)
    setup: Setup | None = Field(
        default=None, description="to be run before the first step, or by `agent-runner setup`"
    )
    agents: dict[str, AcpProgram] = Field(
        default_factory=dict, description="the user's own, which speak the Agent Client Protocol"
    )
    paths: Paths
    gateway: GatewaySpec
    isolation: Annotated[SwitchUser | WrapCommand | NoIsolation, Field(discriminator="kind")]
    limits: RunLimits = Field(default_factory=RunLimits)
    commits: CommitStyle = Field(default_factory=CommitStyle)
    disk: Disk | None = Field(default=None, description="none: it is not watched")
    restore: Restore | None = None
    begin: Snapshot | None = Field(
        default=None,
        description="what the iteration starts from, where that is neither the base nor what the "
        "one before left; the bundle of `restore` holds its commits",
    )
    onto: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{40}$",
        description="what the branch stands on since it was rebased; none: `base_commit`, of which "
        "the sandbox is lent the objects in any case",
    )
    restart: bool = Field(default=False, description="start the iteration over, on the task's base")
    begins_iteration: bool = Field(
        default=False, description="the first attempt of a further iteration, without a journal yet"
    )
    rebundle: bool = Field(
        default=False,
        description="the host has lost earlier snapshots: the next one's bundle builds on the base",
    )
    budget: Budget | None = Field(
        default=None, description="over the whole task; the run pauses before the next step"
    )
    spent: Usage = Field(
        default_factory=Usage, description="of the task, outside this iteration's journal"
    )
    instructions: Instructions | None = Field(
        default=None, description="of a further iteration; they come before the description"
    )
    sessions: dict[str, AgentSession] = Field(
        default_factory=dict[str, AgentSession],
        description="agents' conversations of earlier iterations, by step",
    )
    carried: tuple[StepState, ...] = Field(
        default=(),
        description="the steps of another task as they were at `begin`; what was finished there is "
        "finished here",
    )
    shell: ShellSpec | None = Field(
        default=None, description="run this in place of the workflow, and keep nothing"
    )
    first_snapshot: int = Field(
        default=1, ge=1, description="no snapshot of this attempt has a lower number"
    )

    @property
    def stands_on(self) -> str:
        """The commit with which the task's changes are compared."""
        return self.onto or self.base_commit

    @classmethod
    def load(cls, folder: Path) -> RunSpec:
        """Read `spec.json` in `folder`.

        Raises:
            OSError: it cannot be read.
            pydantic.ValidationError: it is not a spec of a version that this runner knows.
        """
        return cls.model_validate_json((folder / "spec.json").read_bytes())
