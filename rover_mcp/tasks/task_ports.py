"""What the use cases need of the world: one narrow Protocol per outside thing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from rover_mcp.config.project_asks import CommittedFiles
from rover_mcp.context.pieces import Piece
from rover_mcp.context.reader import ContextCall
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.records import AttemptRow, TaskRow
from rover_mcp.tasks.disk_space import TreeSize
from rover_mcp.tasks.view_models import ChangesView


@dataclass(frozen=True)
class Repository:
    """A user's repository as it was found. `root` is the work tree that was meant, `main` the path
    that its project is known by, where that is another."""

    root: Path
    head_commit: str
    branch: str | None
    dirty: bool
    bare: bool
    branches: frozenset[str]
    main: Path | None = None

    @property
    def project(self) -> Path:
        """The path that the project of all its work trees is known by."""
        return self.main or self.root


class Repositories(Protocol):
    def inspect(self, path: Path) -> Repository:
        """Raises UserFixable where no task can be made for it, saying what to do."""
        ...

    def resolve(self, repository: Repository, name: str) -> str:
        """The commit of a branch, tag or full id. Raises UserFixable."""
        ...

    def check_delivery(self, repository: Repository, prefix: str) -> None:
        """Raises UserFixable where no branch below `prefix` can be made there."""
        ...

    def ignored(self, repository: Repository) -> bytes:
        """What the user's git ignores there beside the .gitignore files, as lines of one."""
        ...

    def tracked(self, repository: Repository, commit: str, paths: Sequence[str]) -> Collection[str]:
        """Those of the paths where the commit has something, or has no folder on the way."""
        ...

    def absent(self, repository: Repository, commit: str) -> list[str]:
        """What of the commit a task's clone will not have, as sentences."""
        ...

    def size(self, repository: Repository, commit: str) -> TreeSize | None:
        """What a work tree of the commit takes; None where that cannot be known."""
        ...

    def files(self, repository: Repository, commit: str) -> CommittedFiles:
        """The files of a commit of the user's repository."""
        ...

    def project_id(self, root: Path) -> str: ...

    def git_hosts(self, root: Path) -> tuple[str, ...]:
        """The hosts of its remotes, as entries of an allow-list."""
        ...

    def remotes(self, root: Path) -> tuple[str, ...]:
        """The addresses of its remotes without passwords, that of `origin` first."""
        ...

    def open_hub(self, project_id: str, root: Path) -> None:
        """Make the project's hub, with nothing in it. Idempotent."""
        ...


@dataclass(frozen=True)
class DiffResult:
    changes: ChangesView
    patch: str
    truncated: bool
    elsewhere: int | None = None
    """files that differ, where none of those that were asked for does"""


class Work(Protocol):
    """The code that a task has made so far."""

    def diff(
        self,
        task: TaskRow,
        paths: Sequence[str],
        *,
        stat_only: bool,
        offset: int = 0,
        between: tuple[str, str] | None = None,
    ) -> DiffResult:
        """What differs from the task's base (N1), or `between` two of the task's commits.
        `offset`: so many files of the list are left out at its beginning."""
        ...

    def totals(
        self, task: TaskRow, pairs: Sequence[tuple[str, str]]
    ) -> Sequence[ChangesView | None]:
        """How much differs between the commits of each pair, without the names of files. None
        where a commit is not there."""
        ...

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        """The same as a whole patch, byte for byte, written to the file `out`."""
        ...


class ContextSource(Protocol):
    """Issues, requests, pages and files that a call names."""

    def read(self, names: Sequence[str], call: ContextCall) -> Sequence[Piece]:
        """All of them. Raises UserFixable or EnvironmentFault where one cannot be had."""
        ...


class Engines(Protocol):
    def select(self, wanted: str) -> Engine:
        """The engine of that name, or with "auto" the first that works."""
        ...


@dataclass(frozen=True)
class AgentProgram:
    """Where a sandbox gets an agent's program from. `source`: built-in; own, the user's, at
    `path`; fetched already; npm, which fetches it when it is needed; image, which has to hold it;
    or None, nowhere: then `install` helps."""

    source: str | None
    version: str | None = None
    path: Path | None = None
    install: str | None = None
    size: str | None = None
    """in words, where it has to be fetched"""


class AgentInventory(Protocol):
    def known(self) -> Collection[str]: ...

    def binary(self, agent: str, path: str | None) -> Path | None:
        """The agent's program on this host, found on `path`; None where it has or needs none."""
        ...

    def program(self, agent: str, path: str | None) -> AgentProgram:
        """Where its program comes from, for what `path` finds."""
        ...

    def unpriced(self, agent: str, model: str | None) -> Sequence[tuple[str, str]]:
        """The provider and the name of each model that the agent asks for, as far as is known,
        and that has no price."""
        ...

    def models(self, agent: str, *, own_api: bool) -> Sequence[str]:
        """Models that an agent can be given, as far as its program's own names and the prices tell,
        those first that a person would try first. Not `own_api`: those that the user's own
        configuration names, as its calls go to another service than their provider."""
        ...


@dataclass(frozen=True)
class Trouble:
    """Why no task can be started, and what helps."""

    message: str
    hint: str


class Control(Protocol):
    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None: ...

    def schedule(self, task: TaskRow) -> bool:
        """Let a paused task resume automatically again, if its reason and retries permit that."""
        ...

    def has_checkpoint(self, task: TaskRow) -> bool:
        """Whether a resume goes on from something (I5)."""
        ...

    def cannot_sign_in(self, task: TaskRow, agent: str) -> str | None:
        """What an agent lacks to sign in for a task; None: it can."""
        ...

    def login_expiry(self, task: TaskRow) -> str | None:
        """What to say of a login that expires before the task resumes automatically; None: none
        does."""
        ...

    def asks_provider(self, task: TaskRow) -> bool:
        """Whether a task's calls go to the provider of its agent's models itself."""
        ...

    def served_models(self, task: TaskRow) -> Sequence[str]:
        """The names of the models that another service than the provider, to which a task's
        calls go, says it serves; untrusted. May wait some seconds for it."""
        ...

    def can_take_over(self, task: TaskRow, agent: str, model: str | None = None) -> bool:
        """Whether an agent can sign in for a task, and one of its accounts is open; to `model`, if
        one is given."""
        ...

    def uses_model(self, task: TaskRow, agent: str, model: str) -> bool:
        """Whether the step that an agent would go on with takes the task's model: it may name one
        of its own, or be another agent's."""
        ...

    def stop(self, task: TaskRow) -> None:
        """Ask the task's sandbox, if one runs, to checkpoint and end. Returns at once."""
        ...


class SpareSandboxes(Protocol):
    """Sandboxes that are ready before their task is asked for."""

    def take(self, project_id: str, engine: str) -> str | None:
        """The id that the next task of this project shall have, if its sandbox is ready."""
        ...

    def discard(self, task_id: str) -> None:
        """The task that took it is not to be; nothing where it was none."""
        ...
