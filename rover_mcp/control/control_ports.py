"""What the control plane needs from outside: one narrow Protocol for each thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent_runner.models import RunState, Snapshot
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.source_tree import SourceTree
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.git.unfinished_commit import UnfinishedWork
from rover_mcp.store.records import TaskRow


class HubFileChange(Protocol):
    """A file that differs between two commits. `kind` is A, D, M or T; one that moved is a file
    deleted and a file added. `old` and `new` are the ids of its contents."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def old(self) -> str: ...
    @property
    def new(self) -> str: ...


class ProjectHub(Protocol):
    """A project's bare repositories in the data folder: git/hub.py."""

    def lend(
        self,
        user_repo: Path,
        commit: str,
        objects: Path,
        tell: Callable[[str], None],
        stop: CancelToken,
    ) -> None:
        """Fill a task's folder `objects` with what its base commit reaches. `tell` is called if
        that takes a while, `stop` ends it (Stopped)."""
        ...

    def name(self, user_repo: Path, commit: str, branch: str | None, folder: Path) -> None:
        """Write the names into `folder` that the user's repository has for the commits of a base:
        see git/clone_refs.py. `branch` is what the task was based on, as the call named it."""
        ...

    def lend_submodules(
        self, user_repo: Path, commit: str, objects: Path, folder: Path
    ) -> list[str]:
        """Lend the submodules that the user has checked out, and describe them in `folder`: see
        git/submodules.py. Return which of them could not be lent, and why."""
        ...

    def lend_lfs(self, user_repo: Path, commit: str, objects: Path) -> list[str]:
        """Lend the objects of git-lfs that the user has. Return the files whose objects could not
        be lent."""
        ...

    def secure(self, user_repo: Path, commit: str, objects: Path) -> None:
        """Make the base again if it was lost, because a task's bundles build on it."""
        ...

    def is_whole(self, task_id: str, base_commit: str) -> bool:
        """Whether every object that the hub has of a task can be read."""
        ...

    def renew(self) -> None:
        """Set a damaged hub aside and make another."""
        ...

    def import_bundle(
        self, task_id: str, base_commit: str, bundle_path: Path, snapshot: Snapshot, branch: str
    ) -> None: ...

    def snapshots(self, task_id: str) -> dict[int, str]:
        """The commit of every snapshot that is here, by number."""
        ...

    def keep(self, task_id: str, name: str, commit: str) -> str:
        """Keep a commit under a ref of its own; the ref."""
        ...

    def export_restore(
        self, task_id: str, snapshot: Snapshot, base_commit: str, dest: Path
    ) -> None: ...

    def tree(self, commit: str) -> SourceTree: ...

    def publish(
        self, task_id: str, user_repo: Path, branch: str, unfinished: UnfinishedWork | None = None
    ) -> object:
        """Put the task's branch into the user's repository: see git/publish.py."""
        ...

    def changes(
        self, task_id: str, base_commit: str, old: str, new: str
    ) -> Sequence[HubFileChange]:
        """Every file that differs between two of the task's commits."""
        ...

    def files(self, task_id: str, base_commit: str, commit: str) -> Sequence[str]:
        """The names of all files of one of the task's commits."""
        ...


@dataclass(frozen=True)
class Account:
    """An account by its label, None if an agent needs none; or what is missing, and where to
    configure it."""

    label: str | None = None
    missing: str | None = None


@dataclass(frozen=True)
class LoginExpiry:
    """When a login expires, what a person can do about it, and why no program renews it; `obstacle`
    is None if a program does."""

    login: str
    at: float
    advice: str
    obstacle: str | None = None

    def sentence(self) -> str:
        """When it expires, and who renews it, as a sentence."""
        begins = f"the login of {self.login} expires before that, at {utc_minute(self.at)}"
        if self.obstacle is None:
            return f"{begins}, and is then renewed automatically"
        return f"{begins}, and is not renewed automatically ({self.obstacle}): {self.advice}"


class AttemptGateway(Protocol):
    """The gateway as seen from the control plane's threads."""

    def open(self, task_id: str, attempt: int, socket: Path, token: str, agent: str) -> None:
        """Serve the task's socket. Does nothing if it is served already."""
        ...

    def close(self, task_id: str) -> None: ...

    def expiry(self, task_id: str, attempt: int, agent: str) -> LoginExpiry | None:
        """When the login expires that an agent uses in an attempt; None if it uses none."""
        ...

    def refused_keys(self, task_id: str, attempt: int, agent: str) -> list[str]:
        """Digests of the credentials that an attempt used which was refused; empty if it used
        none."""
        ...

    def accounts(self, task_id: str, attempt: int, agent: str) -> Iterable[Account]:
        """The accounts that this agent may use in this attempt, in order. Reading one may run the
        command of its credential."""
        ...

    def used(self, task_id: str, attempt: int, provider: str) -> str | None:
        """The account with which this attempt last asked a provider, if that is known."""
        ...


@dataclass(frozen=True)
class NextRound:
    """A task that resolves the conflicts of a rebase continues with this."""

    given: IterationInput
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class RoundsEnd:
    """Such a task has ended. `failed`: why the conflicts are not resolved. `verdict`: what is
    wrong with the result, although they are. `warning`: why the rebase that was to follow is not
    done."""

    failed: str | None = None
    verdict: str | None = None
    warning: str | None = None


class ResolutionRounds(Protocol):
    """Judges the answers of tasks that resolve conflicts, and prepares what follows."""

    def follow(self, task: TaskRow, state: RunState) -> NextRound | RoundsEnd:
        """What follows from a round whose steps are done. Repeating it is harmless.

        Raises:
            RoverError: the repository or the data folder cannot be used.
            OSError: the data folder cannot be written.
        """
        ...


HubOf = Callable[[str], ProjectHub]
"""The hub of a project, by the project's id."""
