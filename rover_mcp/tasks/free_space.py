"""What the data folder keeps that could go: shown by kind, and freed on demand. Nothing of a task
that runs, waits or is paused is among it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.operation import CollectPoint, OperationKind, OperationState
from rover_mcp.store.operations import OperationRow
from rover_mcp.tasks.operation_log import OperationLog, settled

log = logging.getLogger("rover.tasks")


class SpaceKind(StrEnum):
    """The kinds of what can be freed."""

    SANDBOXES = "sandboxes"
    """that wait, started, for a next task"""
    IMAGES = "images"
    """of sandboxes that no task needs"""
    CACHES = "caches"
    """packages kept for the next tasks of projects in which no task runs or is paused"""
    WORK_TREES = "work-trees"
    """of finished tasks, all of which the hub has"""
    BUNDLES = "bundles"
    """the second copies of snapshots of finished tasks, which the hub has"""
    TRASH = "trash"
    """deleted tasks, before their days are over"""
    ORPHANS = "orphans"
    """folders of tasks that have no record"""
    REVIEWS = "reviews"
    """texts of reviews and messages that were never sent"""


ONLY_BY_NAME = frozenset({SpaceKind.TRASH, SpaceKind.ORPHANS, SpaceKind.REVIEWS})
"""Kinds that may hold work that exists nowhere else: they are freed only where they are named."""


@dataclass(frozen=True)
class FreeableItem:
    """One thing that can go. `bytes`: None where that is not known; `only_here`: what of it exists
    nowhere else; `freed`: whether it has gone, None before that was tried."""

    kind: SpaceKind
    id: str
    detail: str
    bytes: int | None = None
    task: str | None = None
    only_here: str | None = None
    freed: bool | None = None


class SpaceSource(Protocol):
    """What there is of one kind."""

    @property
    def kind(self) -> SpaceKind: ...

    def list(self) -> Sequence[FreeableItem]:
        """What can go now."""
        ...

    def find(self, item_id: str) -> FreeableItem | None:
        """One of them, if it still can go. Looks at no other: each may take a while."""
        ...

    def free(self, item: FreeableItem) -> None:
        """Remove it. Repeating it is harmless.

        Raises:
            RoverError, OSError: it cannot be removed.
        """
        ...


@dataclass
class FreeSpace:
    """The use case. `plan` lists what could go, calling it frees it."""

    sources: Sequence[SpaceSource]
    log: OperationLog

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.COLLECT] = self._settle

    def plan(self, kinds: Collection[SpaceKind] = ()) -> list[FreeableItem]:
        """What could be freed of these kinds; of none: of all."""
        wanted = [one for one in self.sources if not kinds or one.kind in kinds]
        return [item for source in wanted for item in self._listed(source)]

    def __call__(self, kinds: Collection[SpaceKind] = ()) -> list[FreeableItem]:
        """Free what is of these kinds; of none: of all that cannot hold the only copy of work.
        Each item is looked up again just before it goes."""
        named = kinds or [kind for kind in SpaceKind if kind not in ONLY_BY_NAME]
        return [replace(item, freed=self._free(item)) for item in self.plan(named)]

    def _listed(self, source: SpaceSource) -> Sequence[FreeableItem]:
        try:
            return source.list()
        except (RoverError, OSError) as error:
            log.warning("what could be freed of %s is not known: %s", source.kind, error)
            return ()

    def _free(self, item: FreeableItem) -> bool:
        plan = {"kind": str(item.kind), "id": item.id}
        try:
            if item.kind is SpaceKind.TRASH or item.task is None:
                # The trash has rows of its own; the rest is of no task and goes in one step.
                return self._free_now(item.kind, item.id)
            work = self._free_now
            return self.log.run(
                item.task, OperationKind.COLLECT, plan, lambda _: work(item.kind, item.id)
            )
        except (RoverError, OSError) as error:
            log.warning("%s of %s is not freed: %s", item.kind, item.id, error)
            return False

    def _free_now(self, kind: SpaceKind, item_id: str) -> bool:
        """Free it if it still can go: a task may have been continued since it was listed."""
        source = next(one for one in self.sources if one.kind is kind)
        item = source.find(item_id)
        if item is not None:
            crash_point(CollectPoint.LOOKED_AGAIN)
            source.free(item)
            crash_point(CollectPoint.FREED)
        return item is not None

    def _settle(self, row: OperationRow) -> OperationState:
        kind, item_id = SpaceKind(row.plan["kind"]), str(row.plan["id"])
        settled(lambda: self._free_now(kind, item_id))
        return OperationState.DONE
