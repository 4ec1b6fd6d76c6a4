"""The contract of an engine, which runs sandboxes.

All calls are synchronous and may block; callers run them in threads. `ensure` is idempotent by
`SandboxSpec.name`, so that it may be repeated after any crash. tests/contracts/ holds the suite
that every engine and the fake must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from agent_runner.spec import RunSpec
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.resource_limits import ResourceLimits
from rover_mcp.domain.source_tree import ProjectSetup


class Shortcoming(str):
    """A line of progress that the task's warnings keep: what its sandbox will lack."""


class SandboxState(StrEnum):
    RUNNING = "running"
    EXITED = "exited"
    GONE = "gone"


@dataclass(frozen=True)
class SandboxFolders:
    """Folders on the daemon's host, all private to the task. `spec` already holds workflow.yaml
    (and script.yaml, restore.bundle where used); the engine writes spec.json into it."""

    spec: Path
    run: Path
    work: Path
    home: Path
    base_objects: Path
    gateway_socket: Path

    def mounted(self) -> tuple[Path, ...]:
        """Those that an engine may mount."""
        own = (self.spec, self.run, self.work, self.home)
        return (*own, self.base_objects, self.gateway_socket.parent)


@dataclass(frozen=True)
class SandboxSpec:
    """One attempt to be run. `name` is deterministic: rover-<task id, 12 digits>-<attempt>.

    `run` carries everything of spec.json but paths, isolation and the gateway's socket, which
    are the engine's to know: `Engine.ensure` fills them in. `agent_binary` is the agent's
    own program on the host, where the user has one. `tools` are the other agents that steps of
    the workflow name. `home_seed` is a folder whose files a new HOME begins with, for an engine
    that is one of KeepsHomes.
    """

    name: str
    task_id: str
    project_id: str
    attempt: int
    run: RunSpec
    folders: SandboxFolders
    agent: str
    agent_binary: Path | None = None
    tools: tuple[str, ...] = ()
    image: str | None = None
    project: ProjectSetup = field(default_factory=ProjectSetup)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    home_seed: Path | None = None

    @property
    def agents(self) -> tuple[str, ...]:
        """Every agent that may be started in it, the task's first."""
        return tuple(dict.fromkeys((self.agent, *self.tools)))


@dataclass(frozen=True)
class SandboxExit:
    """How a sandbox ended. `code` is None if it vanished before its exit status was read."""

    code: int | None
    out_of_memory: bool = False
    detail: str = ""


@dataclass(frozen=True)
class SandboxInfo:
    name: str
    task_id: str
    attempt: int
    state: SandboxState
    started_at: datetime | None = None


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine can be used now; if not, why and what to do."""

    name: str
    available: bool
    version: str = ""
    reason: str = ""
    hint: str = ""
    limits_not_applied: Sequence[str] = ()


@dataclass(frozen=True)
class ExecResult:
    code: int
    stdout: bytes
    stderr: bytes


class Engine(Protocol):
    """What runs sandboxes.

    Raises, from every method but `check`:
        EnvironmentFault: the engine cannot be reached or refused (code "engine_unreachable",
            "image_unavailable", "agent_missing", "disk_full", ...). It never means that a
            sandbox is gone: that is a `SandboxState.GONE` or a `SandboxExit`.
    """

    name: str
    shares_disk: bool
    warning: str  # every task on it carries this; "auto" never takes an engine that has one

    @property
    def programs(self) -> str | None:
        """The PATH on which its sandboxes find this machine's own programs; None if they have those
        of an image, or are not confined to a PATH."""
        ...

    def check(self) -> EngineStatus:
        """Say whether the engine works now. Quick, and never raises."""
        ...

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """Raise EnvironmentFault "agent_missing" if `agent` could not be started."""
        ...

    def prepare(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken | None = None
    ) -> None:
        """Prepare what `ensure` needs and may take long (an image). Idempotent.

        Raises:
            Stopped: `stop` was asked for.
        """
        ...

    def ready(self, spec: SandboxSpec, wait: float) -> None:
        """Start the sandbox of a future task, without its spec. `ensure` of the same name delivers
        that; a sandbox that does not get it within `wait` seconds ends."""
        ...

    def ensure(self, spec: SandboxSpec) -> None:
        """Start the sandbox; do nothing if one of that name runs or has ended already. One that
        was made ready continues, or is replaced if it is made differently."""
        ...

    def follow(self, name: str) -> SandboxExit:
        """Block until the sandbox has ended. One that is gone has ended, with code None."""
        ...

    def stop(self, name: str, grace: float) -> None:
        """Send SIGTERM to the runner, and after `grace` seconds SIGKILL to all. Does nothing if the
        sandbox is gone."""
        ...

    def remove(self, name: str) -> None:
        """Remove what is left of one attempt, never the task's work tree or HOME."""
        ...

    def remove_task(self, task_id: str) -> None:
        """Remove the task's work tree and HOME, wherever the engine keeps them."""
        ...

    def drop_work(self, task_id: str) -> None:
        """Remove a task's work tree and nothing else; the next attempt makes it again. No sandbox
        of the task exists then. Repeating it is harmless.

        Raises:
            EnvironmentFault: it cannot be removed.
        """
        ...

    def holds_work(self, task_id: str) -> bool:
        """Whether the task's work tree is still where the engine keeps it."""
        ...

    def logs(self, name: str, tail: int) -> str:
        """The last `tail` lines that the runner itself printed. Untrusted text."""
        ...

    def list(self) -> Sequence[SandboxInfo]:
        """Every sandbox of this data folder, in any state."""
        ...

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """Run a command inside, with the agent's rights."""
        ...


@runtime_checkable
class KeepsHomes(Protocol):
    """An engine that keeps the HOME of a task where it alone can reach it."""

    def home_archive(
        self, name: str, folder: str
    ) -> AbstractContextManager[Iterator[bytes] | None]:
        """A folder of the HOME of a sandbox that has ended, as a tar archive; None if there is
        none. Its names begin with the folder's own. Untrusted data.

        Raises:
            EnvironmentFault: the engine does not answer, then or in the middle.
        """
        ...


@runtime_checkable
class OwnDisk(Protocol):
    """An engine that may keep its images and volumes on another disk than the data folder's."""

    def disk_folders(self) -> Sequence[Path]:
        """The folders on whose disks it keeps them; none if that cannot be seen.

        Raises:
            EnvironmentFault: the engine does not answer.
        """
        ...


IMAGE_FILE = "image"
"""In an attempt's spec folder: the tag of the image that its sandbox was made from."""


@dataclass(frozen=True)
class ImageInfo:
    """An image that Rover made. `layers` are content addresses, the lowest first; `used`: some
    container, running or not, was made from it."""

    tag: str
    kind: str
    base: str
    bytes: int
    created_at: float
    used: bool
    layers: tuple[str, ...]


class ImageKeeper(Protocol):
    """An engine that keeps images. Raises EnvironmentFault if it cannot be reached."""

    def images(self) -> Sequence[ImageInfo]:
        """The images that Rover made."""
        ...

    def build_image(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken
    ) -> tuple[str, str]:
        """The tag and content address of the image that a sandbox would be made from, built if it
        is missing. Parts that an earlier image had to be made without are tried again."""
        ...

    def remove_image(self, tag: str) -> bool:
        """Remove an image. False if the engine refuses because something needs it."""
        ...
