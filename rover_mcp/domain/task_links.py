"""How a task is related to other tasks of its project."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ForkedFrom(BaseModel):
    """The task from whose snapshot another one started. That may be deleted since."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    number: int
    snapshot: str


class AwaitedTask(BaseModel):
    """A task that has to be completed first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    number: int


class Racer(BaseModel):
    """One of the tasks that do the same work, and the agent that it began with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    agent: str


class ResolvesFor(BaseModel):
    """The rebase whose conflicts a task resolves: of another task's branch, from the commit `tip`,
    which stood on `stands_on`, onto the commit `onto` of `base_branch`. `unseen`: the user wants
    the rebase to be done then without having seen the resolution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    number: int
    tip: str
    stands_on: str
    onto: str
    base_branch: str
    unseen: bool = False


class TaskLinks(BaseModel):
    """The tasks that a task comes from. They are known by their ids, because numbers are a
    project's own; a number is kept beside an id for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forked_from: ForkedFrom | None = None
    after: tuple[AwaitedTask, ...] = ()
    base: AwaitedTask | None = None
    """whose result it starts from; also one of `after`"""
    race: tuple[Racer, ...] = ()
    """every task of its race, itself included, in the order of the call"""
    resolves: ResolvesFor | None = None

    def words(self) -> str | None:
        """The same for people."""
        parts: list[str] = []
        if self.forked_from is not None:
            origin = self.forked_from
            parts.append(f"forked from task {origin.number} at {origin.snapshot}")
        if self.resolves is not None:
            rebase = self.resolves
            parts.append(
                f"resolves the conflicts of task {rebase.number} with {rebase.base_branch}"
            )
        if self.base is not None:
            parts.append(f"starts from the result of task {self.base.number}")
        if others := [str(t.number) for t in self.after if t != self.base]:
            parts.append(f"comes after task {', '.join(others)}")
        if self.race:
            parts.append(f"in a race of {', '.join(racer.agent for racer in self.race)}")
        return "; ".join(parts) or None


def resolves_conflicts(links: TaskLinks | None) -> bool:
    """Whether a task with these links resolves the conflicts of another one's rebase. It has no
    branch of its own."""
    return links is not None and links.resolves is not None
