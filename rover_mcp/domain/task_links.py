"""How a task is related to other tasks of its project."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ForkedFrom(BaseModel):
    """The task from whose snapshot another one started. That may be deleted since."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    number: int
    snapshot: str


class TaskLinks(BaseModel):
    """The tasks that a task comes from. They are known by their ids, because numbers are a
    project's own; a number is kept beside an id for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forked_from: ForkedFrom | None = None

    def words(self) -> str | None:
        """The same for people."""
        if self.forked_from is None:
            return None
        return f"forked from task {self.forked_from.number} at {self.forked_from.snapshot}"
