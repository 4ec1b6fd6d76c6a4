"""What can be freed is shown by kind, and only what was meant goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from rover_mcp.tasks.free_space import FreeableItem, FreeSpace, SpaceKind
from rover_mcp.tasks.operation_log import OperationLog

TASK = "a" * 32


class FakeSpaceSource:
    """A kind with some items."""

    def __init__(self, kind: SpaceKind, *names: str, task: str | None = None) -> None:
        self.kind = kind
        self.left = [FreeableItem(kind, name, name, 10, task) for name in names]
        self.broken = False

    def list(self) -> list[FreeableItem]:
        return list(self.left)

    def find(self, item_id: str) -> FreeableItem | None:
        return next((one for one in self.list() if one.id == item_id), None)

    def free(self, item: FreeableItem) -> None:
        if self.broken:
            raise EnvironmentFault("the disk is read-only")
        self.left.remove(item)


@pytest.fixture
def log(tmp_path: Path) -> OperationLog:
    store = Store(open_database(f"sqlite:///{tmp_path / 'rover.db'}"))
    return OperationLog(store.operations("roverd"))


def shelves() -> list[FakeSpaceSource]:
    return [FakeSpaceSource(kind, f"{kind}-1", f"{kind}-2", task=TASK) for kind in SpaceKind]


def test_the_plan_frees_nothing(log: OperationLog) -> None:
    """N13"""
    some = shelves()
    plan = FreeSpace(some, log).plan()
    assert {item.kind for item in plan} == set(SpaceKind)
    assert all(len(shelf.left) == 2 for shelf in some)


def test_what_may_be_the_only_copy_of_work_goes_only_by_its_name(log: OperationLog) -> None:
    """N13"""
    some = shelves()
    free = FreeSpace(some, log)
    freed = free()
    kept = {SpaceKind.TRASH, SpaceKind.ORPHANS, SpaceKind.REVIEWS}
    assert {item.kind for item in freed} == set(SpaceKind) - kept
    assert all(item.freed for item in freed)
    assert {shelf.kind for shelf in some if shelf.left} == kept
    assert [item.id for item in free([SpaceKind.TRASH])] == ["trash-1", "trash-2"]
    assert {shelf.kind for shelf in some if shelf.left} == kept - {SpaceKind.TRASH}


def test_what_cannot_be_removed_hinders_nothing_else(log: OperationLog) -> None:
    images, bundles = shelves()[1], FakeSpaceSource(SpaceKind.BUNDLES, "b", task=TASK)
    images.broken = True
    freed = FreeSpace([images, bundles], log)()
    assert [item.freed for item in freed] == [False, False, True]


def test_what_is_needed_again_meanwhile_stays(log: OperationLog) -> None:
    """N13"""

    class ChangingSource(FakeSpaceSource):
        looks = 0

        def list(self) -> list[FreeableItem]:
            self.looks += 1
            return list(self.left) if self.looks == 1 else []

    shelf = ChangingSource(SpaceKind.BUNDLES, "b", task=TASK)
    (item,) = FreeSpace([shelf], log)()
    assert (item.freed, len(shelf.left)) == (False, 1)


def test_what_was_cut_off_is_finished(log: OperationLog) -> None:
    """N8"""
    shelf = FakeSpaceSource(SpaceKind.BUNDLES, "b", task=TASK)
    FreeSpace([shelf], log)
    row = log.rows.begin(TASK, OperationKind.COLLECT, {"kind": "bundles", "id": "b"})
    log.settle()
    assert shelf.left == []
    assert {one.id: one.state for one in log.rows.of_task(TASK)} == {row.id: OperationState.DONE}
