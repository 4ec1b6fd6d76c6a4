"""The references of a hub, by task.

refs/rover/<task id>/snapshots/<n>     a snapshot
refs/rover/<task id>/head              what the task's branch points at
refs/rover/<task id>/kept/<name>       work that no journal leads to any more
"""

from __future__ import annotations

import re
from pathlib import Path

from agent_runner.models import Snapshot
from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.git_errors import checked
from rover_mcp.git.git_process import run_git
from rover_mcp.git.loose_refs import loose_ref, loose_refs

_LIST_LIMIT = 256 * 1024**2
_TASK_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


def check_commit(commit: str) -> None:
    """Refuse what is not the full id of a commit.

    Raises:
        UserFixable: it is something else ("malformed_commit").
    """
    # An option, a reference or an expression like "HEAD^{/text}" would be one for git, too.
    if not _COMMIT.fullmatch(commit):
        raise UserFixable(f"{commit[:80]!r} is not a full commit id", code="malformed_commit")


class TaskRefs:
    """The references that each task has in one hub."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub

    def prefix(self, task_id: str) -> str:
        """The folder of a task's references.

        Raises:
            UserFixable: it is not a task id ("malformed_id").
        """
        # A reference's name is a path below the repository: "../" must never get into one.
        if not _TASK_ID.fullmatch(task_id):
            raise UserFixable(f"{task_id[:80]!r} is not a task id", code="malformed_id")
        return f"refs/rover/{task_id}"

    def resolve(self, name: str) -> str | None:
        """The id that a name stands for; None where it stands for nothing."""
        if commit := loose_ref(self._hub, name):
            return commit
        resolved = run_git(["rev-parse", "--verify", "-q", name], self._hub)
        return resolved.text if resolved.code == 0 else None

    def head(self, task_id: str) -> str | None:
        """What the task's branch points at, by the last snapshot imported; None before one."""
        return self.resolve(f"{self.prefix(task_id)}/head")

    def snapshot(self, task_id: str, number: int) -> str | None:
        """The commit of one snapshot; None where it is not here."""
        folder = f"{self.prefix(task_id)}/snapshots"
        name = f"{folder}/{number}"
        if commit := loose_ref(self._hub, name):
            return commit
        # Mostly it is one that is about to come in.
        known = loose_refs(self._hub, folder)
        return self.resolve(name) if known is None else known.get(str(number))

    def snapshots(self, task_id: str) -> dict[int, str]:
        """The commit of every snapshot that is here, by number; git is asked only where the files
        do not say it."""
        folder = f"{self.prefix(task_id)}/snapshots"
        if not self._hub.is_dir():
            return {}
        commits = loose_refs(self._hub, folder)
        if commits is None:
            listed = run_git(
                ["for-each-ref", "--format=%(objectname) %(refname:lstrip=4)", f"{folder}/"],
                self._hub,
                output_limit=_LIST_LIMIT,
            )
            checked(listed, "the hub cannot be read", self._hub)
            pairs = (line.partition(" ") for line in listed.text.splitlines())
            commits = {name: commit for commit, _, name in pairs}
        return {int(name): commit for name, commit in commits.items()}

    def record(self, task_id: str, snapshot: Snapshot) -> None:
        """Name a snapshot's objects, which are here. The task's branch moves to it unless a later
        snapshot is here already: bundles may be imported in any order.

        Raises:
            EnvironmentFault: the references cannot be written.
        """
        prefix = self.prefix(task_id)
        here = self.snapshots(task_id)
        lines: list[str] = []
        if snapshot.sequence not in here:
            lines.append(f"create {prefix}/snapshots/{snapshot.sequence} {snapshot.commit}")
        if snapshot.sequence >= max(here, default=0):
            lines.append(f"update {prefix}/head {snapshot.head}")
        written = run_git(
            ["update-ref", "--stdin"], self._hub, stdin=("\n".join(lines) + "\n").encode()
        )
        # `create` fails where another importer was quicker; with the same commit that is success.
        if written.code != 0 and self.snapshot(task_id, snapshot.sequence) != snapshot.commit:
            checked(written, f"snapshot {snapshot.sequence} cannot be recorded", self._hub)

    def keep(self, task_id: str, name: str, commit: str) -> str:
        """Keep a commit under a reference of its own, whatever becomes of the task; its name.

        Raises:
            EnvironmentFault: it is not here, or the reference cannot be written.
        """
        ref = f"{self.prefix(task_id)}/kept/{name}"
        kept = run_git(["update-ref", "--", ref, commit], self._hub)
        checked(kept, f"{commit} cannot be kept as {ref}", self._hub)
        return ref

    def delete(self, task_id: str) -> bool:
        """Delete all references of a task; whether there were any.

        Raises:
            EnvironmentFault: they cannot be read or deleted.
        """
        listed = run_git(
            ["for-each-ref", "--format=delete %(refname)", f"{self.prefix(task_id)}/"], self._hub
        )
        checked(listed, "the hub cannot be read", self._hub)
        if listed.stdout:
            deleted = run_git(["update-ref", "--stdin"], self._hub, stdin=listed.stdout)
            checked(deleted, f"the refs of task {task_id} cannot be removed", self._hub)
        return bool(listed.stdout)
