"""The log of what is prepared before a sandbox exists: an image, and the setup in it."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agent_runner.journal.step_log import StepLog
from agent_runner.worktree.project_setup import LOG

log = logging.getLogger("rover.control")


@dataclass
class PreparationLog:
    """The log `setup` in `folder`, whose file is created with its first line. Other programs print
    the lines, so they are untrusted."""

    folder: Path
    limit: int
    _open: ExitStack = field(default_factory=ExitStack)
    _log: StepLog | None = None

    def line(self, text: str) -> None:
        """Add a line."""
        if self._log is None:
            step_log = StepLog(self.folder / f"{LOG}.log", self.limit, log.warning)
            self._log = self._open.enter_context(step_log)
        self._log.line(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
