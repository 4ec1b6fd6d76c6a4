"""What the use cases need from outside: one narrow Protocol for each outside thing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from agent_runner.models import Snapshot
from rover_mcp.config.project_asks import CommittedFiles
from rover_mcp.context.pieces import Piece
from rover_mcp.context.reader import ContextCall
from rover_mcp.domain.base_distance import BaseDistance
from rover_mcp.domain.errors import UserFixable
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.records import AttemptRow, TaskRow
from rover_mcp.tasks.disk_space import TreeSize
from rover_mcp.tasks.view_models import ChangesView


@dataclass(frozen=True)
class Repository:
    """A user's repository as it was found. `root` is the work tree that the call meant; `main` is
    the path that its project is known by, where that is another one. `head_commit` is empty on a
    branch without commits."""

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

    @property
    def base_commit(self) -> str:
        """The commit that a task begins with unless it names another.

        Raises:
            UserFixable: the current branch has no commits ("no_commits").
        """
        if self.head_commit:
            return self.head_commit
        first = f"run: git -C {self.root} commit --allow-empty -m 'first commit'"
        raise UserFixable(
            f"{self.root} has no commits on its current branch",
            hint=first + ("; or name another branch as base_branch" if self.branches else ""),
            code="no_commits",
        )


class Repositories(Protocol):
    def inspect(self, path: Path) -> Repository:
        """Look at the repository of a folder. Raises UserFixable, with what to do, where no task
        can be created for it."""
        ...

    def resolve(self, repository: Repository, name: str) -> str:
        """The commit of a branch, tag or full id. Raises UserFixable."""
        ...

    def check_delivery(self, repository: Repository, prefix: str) -> None:
        """Check that a branch below `prefix` can be created there. Raises UserFixable where it
        cannot."""
        ...

    def ignored(self, repository: Repository) -> bytes:
        """What the user's git ignores there in addition to .gitignore files, as lines of such a
        file."""
        ...

    def tracked(self, repository: Repository, commit: str, paths: Sequence[str]) -> Collection[str]:
        """Those of the paths that the commit contains, or where something that is not a folder is
        in the way."""
        ...

    def absent(self, repository: Repository, commit: str) -> list[str]:
        """What a task's clone will lack of the commit, as sentences."""
        ...

    def size(self, repository: Repository, commit: str) -> TreeSize | None:
        """The size of a work tree of the commit; None where it cannot be known."""
        ...

    def files(self, repository: Repository, commit: str) -> CommittedFiles:
        """The files of a commit of the user's repository."""
        ...

    def project_id(self, root: Path) -> str: ...

    def git_hosts(self, root: Path) -> tuple[str, ...]:
        """The hosts of the repository's remotes, as entries of an allow-list."""
        ...

    def remotes(self, root: Path) -> tuple[str, ...]:
        """The addresses of the remotes without passwords, beginning with `origin`."""
        ...

    def open_hub(self, project_id: str, root: Path) -> None:
        """Create the project's hub, empty. It is safe to repeat."""
        ...


@dataclass(frozen=True)
class DiffResult:
    changes: ChangesView
    patch: str
    truncated: bool
    elsewhere: int | None = None
    """how many other files differ, where none of the paths that the call names does"""


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
        """What differs from the task's base, or `between` two of the task's commits. The first
        `offset` files of the list are left out."""
        ...

    def totals(
        self, task: TaskRow, pairs: Sequence[tuple[str, str]]
    ) -> Sequence[ChangesView | None]:
        """How much differs between the commits of each pair, without the names of files. None
        where a commit is not there."""
        ...

    def distance(self, task: TaskRow) -> BaseDistance:
        """How far its branch and its base have gone apart, by what the user's repository knows.

        Raises:
            RoverError: the repository cannot be looked at, or that takes too long.
        """
        ...

    def export(self, task: TaskRow, snapshot: Snapshot, dest: Path) -> None:
        """Write a bundle with which another task of the same base starts from a snapshot.

        Raises:
            EnvironmentFault: the snapshot is not there, or the file cannot be written.
        """
        ...

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        """Write the complete patch, byte for byte, to the file `out`."""
        ...


class ContextSource(Protocol):
    """Fetches the issues, requests, pages and files that a call names."""

    def read(self, names: Sequence[str], call: ContextCall) -> Sequence[Piece]:
        """Fetch all of them. Raises UserFixable or EnvironmentFault where one cannot be fetched."""
        ...


class Engines(Protocol):
    def select(self, wanted: str) -> Engine:
        """The engine of that name, or with "auto" the first that works."""
        ...


@dataclass(frozen=True)
class AgentProgram:
    """Where a sandbox gets an agent's program from. `source` is built-in; own, which is the user's,
    at `path`; fetched, which is already here; npm, which fetches it when it is needed; image, which
    has to contain it; or None where there is none, and then `install` says how to get it."""

    source: str | None
    version: str | None = None
    path: Path | None = None
    install: str | None = None
    size: str | None = None
    """in words, where it has to be fetched"""


class AgentInventory(Protocol):
    def known(self) -> Collection[str]: ...

    def binary(self, agent: str, path: str | None) -> Path | None:
        """The agent's program on this host, found on `path`; None where there is none or the agent
        needs none."""
        ...

    def program(self, agent: str, path: str | None) -> AgentProgram:
        """Where the agent's program comes from, given what is on `path`."""
        ...

    def unpriced(self, agent: str, model: str | None) -> Sequence[tuple[str, str]]:
        """The provider and the name of each model without a price that the agent uses, as far as is
        known."""
        ...

    def models(self, agent: str, *, own_api: bool) -> Sequence[str]:
        """Models that an agent can be given, as far as its program's own names and the prices tell,
        beginning with those that a person would try first. `own_api` false leaves out the models
        that the user's own configuration names, because the calls go to another service than their
        provider."""
        ...


@dataclass(frozen=True)
class StartObstacle:
    """Why no task can be started, and what helps."""

    message: str
    hint: str


# The use cases know no engine and no queue, so that unit tests run them without either.
class Control(Protocol):
    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None: ...

    def schedule(self, task: TaskRow) -> bool:
        """Let a paused task resume automatically again, if its reason and retries permit that."""
        ...

    def has_checkpoint(self, task: TaskRow) -> bool:
        """Whether a resume continues from a checkpoint."""
        ...

    def cannot_sign_in(self, task: TaskRow, agent: str) -> str | None:
        """What an agent lacks to sign in for a task; None where it can sign in."""
        ...

    def login_expiry(self, task: TaskRow) -> str | None:
        """What to say of a login that expires before the task resumes automatically; None: none
        does."""
        ...

    def asks_provider(self, task: TaskRow) -> bool:
        """Whether a task's calls go to the provider of its agent's models, and not to another
        service."""
        ...

    def served_models(self, task: TaskRow) -> Sequence[str]:
        """The names of the models that another service than the provider, to which a task's
        calls go, says it serves; untrusted. May wait some seconds for it."""
        ...

    def can_take_over(self, task: TaskRow, agent: str, model: str | None = None) -> bool:
        """Whether an agent can sign in for a task and has an account that is open; open to `model`,
        if one is given."""
        ...

    def uses_model(self, task: TaskRow, agent: str, model: str) -> bool:
        """Whether the step with which an agent would continue uses the task's model: the step may
        name a model of its own, or belong to another agent."""
        ...

    def stop(self, task: TaskRow) -> None:
        """Ask the task's sandbox, if one runs, to checkpoint and end. Returns at once."""
        ...


class WarmSandboxes(Protocol):
    """Sandboxes that are ready before a task needs them."""

    def take(self, project_id: str, engine: str) -> str | None:
        """The id for the next task of this project, if a sandbox with that id is ready."""
        ...

    def discard(self, task_id: str) -> None:
        """Remove the sandbox of a task that was not created after all; it may not exist."""
        ...
