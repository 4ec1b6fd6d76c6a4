"""How conflicts of a task's branch with a new base were resolved, as data in the task's folder.

<task>/resolutions/<key>.json: one answer, by the contents of the sides that were in conflict. So an
answer counts wherever the same sides meet again, and for nothing else.
<task>/resolutions/task: the id of the task that resolves
<task>/resolutions/shown: the commit that a person was shown as the result
<task>/resolutions/alone: the answers of other tasks do not count here
<task>/resolutions/check.json: how the project's check ended on a result
<project>/resolutions/<key>.json: the answers that a person has agreed to, for all tasks
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_runner.atomic_write import replace_file
from rover_mcp.domain.disk_full_error import write_fault
from rover_mcp.domain.side_choice import FileAnswer, Side

MOST_BYTES = 8_000_000
"""Of the file of an answer."""
_ALONE = "alone"
MOST_REMEMBERED = 500
"""Answers of a project."""


class ResolutionAnswer(BaseModel):
    """The text of a file that was in conflict, or the side that was chosen for it. `given_up`:
    changes of a side that are not in it, each with the agent's reason. `written_by`: the command
    that wrote it, and not the agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    text: str
    side: Side = Side.FILE
    given_up: tuple[str, ...] = ()
    written_by: str = ""


class CheckResult(BaseModel):
    """How the project's check ended on the commit `tip`. `problem`: None, it succeeded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tip: str
    problem: str | None


@dataclass(frozen=True)
class Resolutions:
    """The answers for a task's conflicts. What cannot be read is not there. `earlier` is the folder
    of those that a person has agreed to in other tasks of the project."""

    folder: Path
    earlier: Path | None = None

    def answer(self, key: str) -> ResolutionAnswer | None:
        """The answer for the conflict with this key."""
        alone = (self.folder / _ALONE).exists()
        for folder in (self.folder, None if alone else self.earlier):
            with suppress(OSError, ValidationError):
                if folder is not None:
                    text = _read_file(folder / f"{key}.json")
                    return ResolutionAnswer.model_validate_json(text)
        return None

    def remember(self, keys: Iterable[str]) -> None:
        """Keep these answers for other tasks of the project, and of all those the newest. Raises as
        `put`."""
        if self.earlier is None:
            return
        agreed = Resolutions(self.earlier)
        for key in keys:
            answer = self.answer(key)
            # A lock file depends on more than its own two sides.
            if answer is not None and not answer.written_by:
                agreed.put(key, answer)
        files = sorted(self.earlier.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for old in files[:-MOST_REMEMBERED]:
            old.unlink(missing_ok=True)

    def file_answer(self, key: str) -> FileAnswer | None:
        """What that answer puts in the place of the file."""
        answer = self.answer(key)
        return FileAnswer(answer.text, answer.side) if answer else None

    def put(self, key: str, answer: ResolutionAnswer) -> None:
        """Keep an answer.

        Raises:
            EnvironmentFault: the data folder cannot be written.
        """
        self._write(f"{key}.json", answer.model_dump_json() + "\n")

    def forget(self) -> None:
        """Remove all answers, and what is known of them; those of other tasks do not count either
        from now on. Raises as `put`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._write(_ALONE, "")

    @property
    def resolver(self) -> str | None:
        """The id of the task that resolves, or did."""
        return self._line("task")

    def begin(self, task_id: str) -> None:
        """Record the task that resolves from now on. Raises as `put`."""
        self._write("task", f"{task_id}\n")

    @property
    def shown(self) -> str | None:
        """The commit that a person was shown as the result."""
        return self._line("shown")

    def note_shown(self, commit: str) -> None:
        """Record that a person is shown this result. Raises as `put`."""
        self._write("shown", f"{commit}\n")

    def check_of(self, tip: str) -> CheckResult | None:
        """How the project's check ended on this result."""
        try:
            result = CheckResult.model_validate_json(self._read("check.json"))
        except (OSError, ValidationError):
            return None
        return result if result.tip == tip else None

    def note_check(self, result: CheckResult) -> None:
        """Record how the check ended. Raises as `put`."""
        self._write("check.json", result.model_dump_json() + "\n")

    def _line(self, name: str) -> str | None:
        with suppress(OSError, UnicodeDecodeError):
            return self._read(name).decode().strip() or None
        return None

    def _read(self, name: str) -> bytes:
        return _read_file(self.folder / name)

    def _write(self, name: str, text: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / name, text)
        except OSError as error:
            raise write_fault("the resolution cannot be kept", self.folder, error) from error


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)
