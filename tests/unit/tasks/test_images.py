"""Which images may go: none that a task or a container needs, nor what these stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import ImageInfo
from rover_mcp.tasks.images import MIN_AGE, RoverImages, prunable

NOW = 1_000_000.0
GROUND = ImageInfo("rover-ground:1", "ground", "debian", 10, 0, used=False, layers=("a",))
SETUP = replace(GROUND, tag="rover-setup:1", kind="setup", layers=("a", "b"))
SANDBOX = replace(GROUND, tag="rover-sandbox:1", kind="sandbox", layers=("a", "b", "c"))
OTHER = replace(GROUND, tag="rover-sandbox:2", kind="sandbox", layers=("a", "d"))
ALL = [GROUND, SETUP, SANDBOX, OTHER]


def tags(images: Sequence[ImageInfo]) -> list[str]:
    return [image.tag for image in images]


def test_what_nobody_needs_may_go_the_highest_layers_first() -> None:
    assert tags(prunable(ALL, (), NOW))[0] == SANDBOX.tag
    assert sorted(tags(prunable(ALL, (), NOW))) == sorted(tags(ALL))


def test_what_a_task_needs_stays_with_all_that_it_stands_on() -> None:
    assert tags(prunable(ALL, {SANDBOX.tag}, NOW)) == [OTHER.tag]


def test_what_a_container_was_made_from_stays() -> None:
    images = [GROUND, replace(SETUP, used=True), OTHER]
    assert tags(prunable(images, (), NOW)) == [OTHER.tag]


def test_a_young_image_may_belong_to_a_sandbox_that_is_being_made() -> None:
    young = replace(OTHER, created_at=NOW - MIN_AGE + 1)
    assert tags(prunable([young], (), NOW)) == []
    assert tags(prunable([young], (), NOW + 2)) == [OTHER.tag]


class FakeImageKeeper:
    def __init__(self, images: Sequence[ImageInfo], *, answers: bool = True) -> None:
        self.kept = list(images)
        self.answers = answers

    def images(self) -> Sequence[ImageInfo]:
        if not self.answers:
            raise EnvironmentFault("it does not run")
        return list(self.kept)

    def remove_image(self, tag: str) -> bool:
        self.kept = [image for image in self.kept if image.tag != tag]
        return True


class Store:
    def __init__(self, statuses: dict[str, TaskStatus]) -> None:
        self.statuses = statuses
        self.tasks = self

    def get(self, task_id: str) -> Any:
        status = self.statuses.get(task_id)
        return type("Row", (), {"status": status}) if status else None


@pytest.mark.parametrize(
    ("status", "stays"),
    [
        (TaskStatus.PAUSED, True),
        (TaskStatus.FAILED, True),
        (TaskStatus.COMPLETED, False),
        (None, True),
    ],
)
def test_the_image_of_a_task_that_may_go_on_stays(
    tmp_path: Path, status: TaskStatus | None, stays: bool
) -> None:
    spec = tmp_path / "tasks" / "t1" / "iterations" / "1" / "spec-1"
    spec.mkdir(parents=True)
    (spec / "image").write_text(SANDBOX.tag)
    keeper = FakeImageKeeper(ALL)
    store: Any = Store({"t1": status} if status else {})
    service = RoverImages(
        tmp_path, store, {"docker": keeper, "podman": FakeImageKeeper((), answers=False)}
    )

    assert {i["tag"] for i in service.list()} == set(tags(ALL))
    told = service.prune(NOW, dry_run=True)
    assert keeper.kept == ALL
    assert not any(i["removed"] for i in told)
    assert all(i["removed"] for i in service.prune(NOW, dry_run=False))
    assert (SANDBOX in keeper.kept) == stays
    assert (GROUND in keeper.kept) == stays


def test_an_image_that_a_task_needs_since_it_was_listed_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "t1" / "iterations" / "1" / "spec-1").mkdir(parents=True)
    store: Any = Store({"t1": TaskStatus.PAUSED})
    service = RoverImages(tmp_path, store, {"docker": FakeImageKeeper(ALL)})
    assert service.is_free("docker", SANDBOX.tag, NOW)
    (tmp_path / "tasks/t1/iterations/1/spec-1/image").write_text(SANDBOX.tag)
    assert not service.is_free("docker", SANDBOX.tag, NOW)
    assert not service.is_free("docker", "rover:gone", NOW)
    assert not service.is_free("podman", SANDBOX.tag, NOW)
