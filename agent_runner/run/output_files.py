"""Reads the outputs that an agent writes as files, and removes the files.

They belong to the workflow and not to the task's result, so none of them may be in the diff. They
are removed before the step and after it, with the agent's rights.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.process.commands import CommandStarter, check_not_killed
from agent_runner.process.guest_files import NotReadable, read_path
from agent_runner.workflow.models import OutputDef
from agent_runner.worktree.git_environment import GIT_ENVIRONMENT
from agent_runner.worktree.worktree_scripts import END_WHEN_KILLED

REMOVE_TIMEOUT = 60.0

# An agent may have staged or even committed them. A file that is in the base is the user's own.
_REMOVE = (
    END_WHEN_KILLED
    + r"""
base=$1
shift
status=0
for name do
  if git cat-file -e "$base:$name" 2>/dev/null; then
    printf 'rover theirs %s\n' "$name"
    continue
  fi
  git rm -r -q -f --cached --ignore-unmatch -- "$name" >/dev/null 2>&1 || :
  whole rm -rf -- "$name" || status=1
done
exit "$status"
"""
)


class FilesRefused(Exception):
    """Output files that cannot be used; the message says why."""


class OutputFiles:
    """The file outputs of one agent step. Without any, nothing is done."""

    def __init__(
        self, outputs: Sequence[OutputDef], commands: CommandStarter, base_commit: str
    ) -> None:
        self._names = {o.name: o.filename for o in outputs if o.filename is not None}
        self._commands = commands
        self._base = base_commit

    def __contains__(self, name: object) -> bool:
        return name in self._names

    async def remove(self) -> None:
        """Remove the files, also from the index.

        Raises:
            FilesRefused: one of them is a file of the repository, or cannot be removed.
            CommandKilled: the command that did it was killed.
        """
        if not self._names:
            return
        try:
            result = await self._commands.run(
                ["sh", "-c", _REMOVE, "remove", self._base, *self._names.values()],
                env=GIT_ENVIRONMENT,
                timeout=REMOVE_TIMEOUT,
            )
        except OSError as error:
            raise FilesRefused(f"its output files cannot be removed: {error}") from error
        check_not_killed(result)
        lines = result.stdout.decode(errors="replace").splitlines()
        theirs = [line.removeprefix("rover theirs ") for line in lines]
        if theirs:
            names = ", ".join(theirs)
            raise FilesRefused(
                f"the repository already has {names}: the workflow must name another file"
            )
        if result.code != 0:
            reason = result.stderr.decode(errors="replace").strip()[-200:]
            raise FilesRefused(f"its output files cannot be removed: {reason}")

    async def read(self, limit: int) -> tuple[dict[str, str], list[str]]:
        """Read the files: their texts by output name, up to `limit` bytes each, and the warnings.

        Raises:
            CommandKilled: the command that did it was killed.
        """
        texts: dict[str, str] = {}
        warnings: list[str] = []
        for name, filename in self._names.items():
            try:
                file = await read_path(self._commands, filename, limit)
            except NotReadable as error:
                if not error.missing:
                    warnings.append(f"output {name!r}: {filename}: {error}")
                continue
            if file.folder:
                warnings.append(f"output {name!r}: {filename} is a folder")
                continue
            texts[name] = file.data.decode(errors="replace")
            if file.cut:
                warnings.append(f"output {name!r} was cut to {limit} bytes")
        return texts, warnings
