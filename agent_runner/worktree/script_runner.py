"""Runs the shell scripts of the work tree, with the agent's rights, and reads their reports."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from agent_runner.no_space import says_no_space
from agent_runner.process.commands import CommandKilled, CommandResult, CommandStarter, was_killed
from agent_runner.process.progress import ProgressLimits
from agent_runner.spec import RunSpec
from agent_runner.worktree.git_environment import (
    BASE,
    DELIVERED,
    ENCRYPTING,
    FILTERS,
    GIT_ENVIRONMENT,
    WITHHELD,
)
from agent_runner.worktree.git_reports import REPORTS, marked, text
from agent_runner.worktree.worktree_scripts import (
    BASE_LOST,
    CHECK_BASE,
    CHECK_REPOSITORY,
    PREPARE,
    REPAIR,
    UNUSABLE,
)

NAMES = "names"
"""A folder in the spec folder: the names of the base's commits in the user's repository."""

_ID = re.compile(r"[0-9a-f]{40}")


class WorktreeError(Exception):
    """Git failed; the message has its output, which is untrusted."""


class WorktreeFull(WorktreeError):
    """Git found no space on the disk: the run can be resumed once there is some."""


class WorktreeInterrupted(WorktreeError):
    """Git was killed or stalled twice, or the objects that the clone borrows are gone, or the clone
    has no usable repository: the run can continue later."""


class ScriptRunner:
    """Runs scripts in the clone of one attempt. `withheld` are the files of `copies` that they
    found in the index or in commits, and took out."""

    def __init__(self, spec: RunSpec, commands: CommandStarter) -> None:
        self._spec = spec
        self._commands = commands
        self._environment = {**GIT_ENVIRONMENT, WITHHELD: " ".join(spec.copies)}
        self._environment[BASE] = spec.base_commit
        self._environment[FILTERS] = " ".join((*ENCRYPTING, *self._filters()))
        self._patience = ProgressLimits(still=spec.limits.git_stall)
        self.withheld: set[str] = set()

    def judge_from(self, commit: str) -> None:
        """From now on scripts take what differs from this commit for the task's work."""
        self._environment[BASE] = commit

    def names(self) -> str:
        """The path of the folder NAMES as commands see it."""
        return str(self._spec.paths.restore.with_name(NAMES))

    def _filters(self) -> list[str]:
        try:
            return (self._spec.paths.spec / NAMES / "filters").read_text("utf-8").split()
        except FileNotFoundError:
            return []

    async def run(
        self,
        script: str,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        stdout: int | None = None,
        delivered: str = "",
    ) -> CommandResult:
        """Run a script, and once more if it fails. `delivered` is the commit of the last snapshot.

        Raises:
            WorktreeError: git cannot be started.
            WorktreeInterrupted: git was killed or stalled, or the clone is not usable.
        """
        self._environment[DELIVERED] = delivered
        result = await self._once(script, arguments, stdin, stdout)
        if result.code == 0:
            return result
        # All scripts can be repeated. The first try may have been killed, or have waited for a pipe
        # in place of a file, or the agent may have removed its own permissions.
        await self._repair()
        if stdout is not None:
            os.ftruncate(stdout, 0)
            os.lseek(stdout, 0, os.SEEK_SET)
        result = await self._once(script, arguments, stdin, stdout)
        if result.stalled:
            raise WorktreeInterrupted(f"git was stopped: {result.stalled}")
        if was_killed(result):
            raise WorktreeInterrupted(f"git was killed: {result.killed}")
        if result.code:
            await self.check_base()
            if script != PREPARE and not says_no_space(result.stderr.decode(errors="replace")):
                await self._check_repository(result)
        return result

    async def check_base(self) -> None:
        """Raise WorktreeInterrupted if git fails because the borrowed objects are missing."""
        lent = (str(self._spec.paths.base_objects), self._spec.base_commit, self.names())
        if b"rover lost\n" in (await self._once(CHECK_BASE, lent)).stderr:
            raise WorktreeInterrupted(BASE_LOST)

    async def _check_repository(self, failed: CommandResult) -> None:
        """Raise WorktreeInterrupted if the agent left no usable repository. `prepare` makes it
        again."""
        names = (self._spec.branch, self._spec.base_commit)
        if b"rover unusable\n" in (await self._once(CHECK_REPOSITORY, names)).stderr:
            raise WorktreeInterrupted(f"{UNUSABLE} (git said: {text(failed)})")

    async def _once(
        self,
        script: str,
        arguments: Sequence[str],
        stdin: bytes = b"",
        stdout: int | None = None,
    ) -> CommandResult:
        try:
            return await self._commands.run(
                ["sh", "-c", script, "rover", *arguments],
                env=self._environment,
                stdin=stdin,
                stdout_file=stdout,
                patience=self._patience,
            )
        except OSError as error:
            raise WorktreeError(f"git could not be started: {error}") from error
        except CommandKilled as error:
            raise WorktreeInterrupted(str(error)) from error

    async def _repair(self) -> None:
        workspace = str(self._spec.paths.workspace)
        try:
            await self._commands.run(
                ["sh", "-c", REPAIR, "rover", workspace], anywhere=True, patience=self._patience
            )
        except OSError as error:
            raise WorktreeError(f"git could not be started: {error}") from error
        except CommandKilled as error:
            raise WorktreeInterrupted(str(error)) from error

    def report_of(self, result: CommandResult, what: str) -> list[str]:
        """The words of the script's last report. Its ids are checked to be ids."""
        lines = result.stderr.decode(errors="replace").splitlines()
        self.withheld.update(marked(lines, "rover withheld "))
        reports = [line.split()[1:] for line in lines if line.startswith("rover ")]
        reports = [words for words in reports if words and words[0] in REPORTS]
        if result.code != 0 or not reports:
            raise failure(what, result)
        words = reports[-1]
        if len(words) != REPORTS[words[0]] or not all(map(_ID.fullmatch, words[1:])):
            raise WorktreeError(f"could not {what}: git gave an unusable answer")
        return words


def failure(what: str, result: CommandResult) -> WorktreeError:
    """The error for a script that could not do `what`."""
    kind = WorktreeError
    if says_no_space(result.stderr.decode(errors="replace")):
        kind = WorktreeFull
    return kind(f"could not {what}: {text(result)}")
