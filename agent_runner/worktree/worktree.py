"""Prepares, records and restores the task's clone, always with the agent's rights.

Each operation is one shell script, run through `CommandStarter` in the workspace, because starting
a sandboxed command takes longer than git does. The scripts are constants; values are arguments. The
agent can write the repository and its configuration, so nothing that git prints is trusted: ids are
checked here, and the host checks a bundle again when it fetches it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_runner.journal.journal import sync_folder
from agent_runner.models import Snapshot
from agent_runner.process.commands import CommandResult, CommandStarter
from agent_runner.spec import RunSpec
from agent_runner.worktree.git_environment import (
    USER_EMAIL,
    USER_NAME,
)
from agent_runner.worktree.git_reports import PutBackFiles, lacking, marked, noted, shown
from agent_runner.worktree.script_runner import ScriptRunner, WorktreeError, failure
from agent_runner.worktree.worktree_scripts import (
    ADOPT,
    COMMIT,
    FINISH,
    PREPARE,
    PUT_ASIDE,
    REMEMBER,
    RESET,
    SNAPSHOT,
    TAKE_SEED,
)

IGNORED = "ignored"
"""A file in the spec folder: what the user's git ignores beside the tracked .gitignore files."""

CHECKPOINT_TRAILER = "Rover-Checkpoint: true"

MAX_MESSAGE = 10_000
"""The most characters of a commit's message: a template may hold the output of a step."""


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`. `existed`: there was a usable clone. `repaired`: the repository was
    made again around existing files."""

    existed: bool
    repaired: bool


@dataclass(frozen=True)
class Target:
    """A state of the work tree to return to. Without a tree, the commit's tree counts."""

    commit: str
    head: str
    tree: str = ""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Target:
        return cls(snapshot.commit, snapshot.head, snapshot.tree)


class Worktree:
    """The work tree of one attempt."""

    def __init__(self, spec: RunSpec, commands: CommandStarter) -> None:
        self._spec = spec
        self._scripts = ScriptRunner(spec, commands)
        self._noted: dict[str, list[str]] = {}
        self._rebundle = spec.rebundle

    async def prepare(self) -> Prepared:
        """Make the clone if there is no usable one; existing files stay. If the spec names a
        bundle, a new clone is complete only after `reset` or `adopt`.

        Raises:
            WorktreeError: git refused.
        """
        spec = self._spec
        seed, restore = spec.paths.seed, "" if spec.restore is None else "restore"
        later = restore if seed is None else f"seed {restore}"
        names = (str(spec.paths.base_objects), spec.branch, spec.base_commit, USER_NAME, USER_EMAIL)
        result = await self._scripts.run(
            PREPARE, (*names, later, self._scripts.names()), stdin=self._ignored()
        )
        word = self._scripts.report_of(result, "prepare the clone")[0]
        if word == "new" and seed is not None:
            taken = await self._scripts.run(TAKE_SEED, (str(seed), restore))
            self._scripts.report_of(taken, "take over what the setup made")
        return Prepared(existed=word == "ready", repaired=word == "repaired")

    def _ignored(self) -> bytes:
        try:
            return (self._spec.paths.spec / IGNORED).read_bytes()
        except FileNotFoundError:
            return b""

    def judge_from(self, commit: str) -> None:
        """Take what differs from this commit, which the clone has, for the task's work."""
        self._scripts.judge_from(commit)

    async def put_aside(self, seed: Path) -> None:
        """Move what git ignores into the folder `seed`, and empty the workspace.

        Raises:
            WorktreeError: they cannot be moved.
        """
        self._scripts.report_of(
            await self._scripts.run(PUT_ASIDE, (str(seed),)), "keep what the setup made"
        )

    async def reset(self, target: Target, *, keep_as: str, restore: bool = False) -> bool:
        """Make the work tree and the branch equal to `target`, untracked files too. What was
        there is kept under refs/rover/kept/`keep_as`, unless that is empty. True if it differed.

        Raises:
            WorktreeError: git refused, or the target is not there.
        """
        bundle = str(self._spec.paths.restore) if restore else ""
        result = await self._reset(target, keep_as, bundle)
        return self._scripts.report_of(result, "restore the work tree")[0] == "reset"

    async def _reset(
        self, target: Target, keep_as: str, bundle: str, exact: str = ""
    ) -> CommandResult:
        place = (self._spec.branch, target.commit, target.tree, target.head)
        arguments = (*place, keep_as, bundle, exact)
        return await self._scripts.run(RESET, arguments, delivered=target.commit)

    async def remember(self) -> None:
        """Save HEAD and the index in the clone, for `put_back`.

        Raises:
            WorktreeError: git refused.
        """
        self._scripts.report_of(await self._scripts.run(REMEMBER, ()), "note where HEAD is")

    async def put_back(self, before: Snapshot, step: str) -> PutBackFiles | None:
        """Make the work tree, the branch, HEAD and the index what they were when `remember` was
        called and the snapshot was taken. None if nothing had changed.

        Raises:
            WorktreeError: git refused.
        """
        kept = f"{self._spec.iteration}-{self._spec.attempt}-{step}"
        result = await self._reset(Target.of(before), kept, "", "exact")
        if self._scripts.report_of(result, "put the work tree back")[0] != "reset":
            return None
        lines = result.stderr.decode(errors="replace").splitlines()
        return PutBackFiles(shown(set(marked(lines, "rover undone "))), kept)

    async def adopt(self, head: str) -> None:
        """Restore the earlier commits of a repository that was made again, from the restore bundle.
        The files stay as they are, because they are newer than the bundle.

        Raises:
            WorktreeError: git refused, or the bundle is not there.
        """
        arguments = (self._spec.branch, head, str(self._spec.paths.restore))
        self._scripts.report_of(
            await self._scripts.run(ADOPT, arguments), "take the earlier commits"
        )

    async def commit(self, message: str, previous: Snapshot | None = None) -> bool:
        """Make a checkpoint commit of what is not committed, on the task's branch, which is checked
        out. False if there was nothing to commit. Other steps may change the tree meanwhile.
        `previous` is the last snapshot.

        Raises:
            WorktreeError: git refused; the files are as they were.
        """
        text = f"{_message(message) or 'Checkpoint'}\n\n{CHECKPOINT_TRAILER}\n"
        result = await self._scripts.run(
            COMMIT, (self._spec.branch,), stdin=text.encode(), delivered=_commit_of(previous)
        )
        return self._scripts.report_of(result, "make a checkpoint commit")[0] == "committed"

    async def finish(
        self, message: str, previous: Snapshot | None = None, *, always: bool = False
    ) -> bool:
        """Commit everything that is not committed onto the task's branch, and check that out.
        Checkpoint commits are dropped: their changes are in the commits that follow. False if they
        had to stay, because the history since the task's base is not linear. `previous` is the
        last snapshot. `always`: if the branch has changes, its last commit gets this message, even
        if everything was committed already.

        Raises:
            WorktreeError: git refused.
        """
        author = self._spec.commits.author or ""
        arguments = (
            self._spec.branch, self._spec.stands_on, "always" if always else "", author,
        )  # fmt: skip
        text = _message(message) + "\n"
        result = await self._scripts.run(
            FINISH, arguments, stdin=text.encode(), delivered=_commit_of(previous)
        )
        self._scripts.report_of(result, "commit the result")
        return b"rover checkpoints\n" not in result.stderr

    async def snapshot(
        self, previous: Snapshot | None, first: int = 1
    ) -> tuple[Snapshot, Sequence[str]]:
        """Record the work tree as a commit of its own and as a bundle in the run folder. If nothing
        has changed, that is the previous snapshot. The number is at least `first`. The second value
        names what could not be recorded: unreadable files, and folders with a repository of their
        own.

        Raises:
            WorktreeError: git refused, or the bundle is over the limit.
            OSError: the bundle cannot be written.
        """
        sequence = max(previous.sequence + 1 if previous else 1, first)
        folder = self._spec.paths.run / "bundles"
        folder.mkdir(exist_ok=True)
        name = f"{sequence:06}.bundle"
        # Renamed once it is complete and flushed, before the record that names it is written.
        part = folder / f"{name}.part"
        try:
            words, result = await self._bundle_to(part, sequence, previous)
            if words[0] == "same" and previous is not None:
                return previous, lacking(result)
            part.replace(folder / name)
            sync_folder(folder)
            self._rebundle = False
        finally:
            part.unlink(missing_ok=True)
        commit, tree, head = words[1:4]
        taken = Snapshot(sequence=sequence, commit=commit, tree=tree, bundle=name, head=head)
        return taken, lacking(result)

    async def _bundle_to(
        self, part: Path, sequence: int, previous: Snapshot | None
    ) -> tuple[Sequence[str], CommandResult]:
        """Have the script write a bundle, flushed and checked unless the tree is the same."""
        with part.open("wb") as file:
            result = await self._scripts.run(
                SNAPSHOT,
                self._snapshot_arguments(sequence, previous),
                stdout=file.fileno(),
                delivered=_commit_of(previous),
            )
            words = self._scripts.report_of(result, "snapshot the work tree")
            self._noted = noted(result)
            if words[0] == "same" and previous is not None:
                return words, result
            if b"rover bundled" not in result.stderr:
                await self._scripts.check_base()
            self._check_bundle(result, os.fstat(file.fileno()).st_size)
            os.fsync(file.fileno())
        return words, result

    def withheld(self) -> list[str]:
        """The files of `copies` that were in the index or in commits, and were taken out."""
        return shown(self._scripts.withheld)

    def noted(self, what: str) -> list[str]:
        """The files that the last snapshot reported as `what`, one of NOTED."""
        return self._noted.get(what, [])

    def _snapshot_arguments(self, sequence: int, previous: Snapshot | None) -> tuple[str, ...]:
        spec = self._spec
        known = (previous.commit, previous.head, previous.tree) if previous else ("", "", "")
        # One byte more than allowed, which shows that a bundle is too large without writing all of
        # it.
        limit = str(spec.limits.bundle_bytes + 1)
        rebundle = "yes" if self._rebundle else ""
        return (str(sequence), spec.branch, spec.base_commit, *known, limit, rebundle)

    def _check_bundle(self, result: CommandResult, size: int) -> None:
        limit = self._spec.limits.bundle_bytes
        if size > limit:
            raise WorktreeError(f"the snapshot is larger than the limit of {limit} bytes")
        if b"rover bundled" not in result.stderr:
            raise failure("bundle the snapshot", result)


def _commit_of(snapshot: Snapshot | None) -> str:
    return snapshot.commit if snapshot else ""


def _message(text: str) -> str:
    """The text as a commit's message. Git refuses NUL."""
    return text.replace("\0", "")[:MAX_MESSAGE].strip()
