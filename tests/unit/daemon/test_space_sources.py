"""What could go is looked at again before it goes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.daemon.space_sources import REVIEW_SECONDS, UnneededImages, UnsentReviews
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store as RealStore
from rover_mcp.tasks.free_space import FreeSpace, SpaceKind
from rover_mcp.tasks.images import RoverImages
from rover_mcp.tasks.operation_log import OperationLog
from tests.unit.tasks.test_images import ALL, SANDBOX, FakeImageKeeper, Store


class PausingEngine(FakeImageKeeper):
    """Between the list and the removal a task is paused that was made from the image."""

    def __init__(self, spec: Path) -> None:
        super().__init__(ALL)
        self.spec = spec
        self.looks = 0

    def images(self) -> Any:
        self.looks += 1
        if self.looks > 1:
            self.spec.mkdir(parents=True, exist_ok=True)
            (self.spec / "image").write_text(SANDBOX.tag)
        return super().images()


@pytest.fixture
def log(tmp_path: Path) -> OperationLog:
    store = RealStore(open_database(f"sqlite:///{tmp_path / 'rover.db'}"))
    return OperationLog(store.operations("roverd"))


def freed(images: RoverImages, log: OperationLog) -> dict[str, bool | None]:
    items = FreeSpace([UnneededImages(images)], log)([SpaceKind.IMAGES])
    return {item.id.partition(" ")[2]: item.freed for item in items}


def test_an_image_that_is_needed_again_meanwhile_stays(tmp_path: Path, log: OperationLog) -> None:
    """N13."""
    keeper = PausingEngine(tmp_path / "tasks/t1/iterations/1/spec-1")
    (tmp_path / "tasks").mkdir()
    store: Any = Store({"t1": TaskStatus.PAUSED})
    outcome = freed(RoverImages(tmp_path, store, {"docker": keeper}), log)
    assert outcome[SANDBOX.tag] is False
    assert SANDBOX in keeper.kept
    assert any(outcome.values()), "an image that no task needs goes all the same"


def test_an_image_that_the_engine_keeps_is_not_said_to_be_freed(
    tmp_path: Path, log: OperationLog
) -> None:
    class Refusing(FakeImageKeeper):
        def remove_image(self, tag: str) -> bool:
            return False

    (tmp_path / "tasks").mkdir()
    store: Any = Store({})
    outcome = freed(RoverImages(tmp_path, store, {"docker": Refusing(ALL)}), log)
    assert outcome
    assert not any(outcome.values())


def test_a_text_that_was_not_sent_goes_when_no_editor_has_it_open(
    tmp_path: Path, log: OperationLog
) -> None:
    """N13: its kind has to be named, and a link is removed, not what it leads to."""
    folder, mine = tmp_path / "reviews", tmp_path / "mine.txt"
    folder.mkdir()
    for name in ("old.txt", "new.txt", "other.dat"):
        (folder / name).write_text("why?\n")
    mine.write_text("mine\n")
    (folder / "link.txt").symlink_to(mine)
    past = time.time() - REVIEW_SECONDS - 60
    for path in (folder / "old.txt", folder / "other.dat", mine):
        os.utime(path, (past, past))
    free = FreeSpace([UnsentReviews(tmp_path)], log)
    assert all(item.only_here for item in free.plan())
    assert free() == []
    assert {item.id: item.freed for item in free([SpaceKind.REVIEWS])} == {
        "link.txt": True, "old.txt": True,
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {"new.txt", "other.dat"}
    assert mine.read_text() == "mine\n"
