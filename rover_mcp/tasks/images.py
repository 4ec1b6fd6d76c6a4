"""The images that Rover built, and which of them no task needs. Pure, apart from the engines and
the tasks' folders."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import IMAGE_FILE, ImageInfo, ImageKeeper
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller

MIN_AGE = 3600.0
"""Seconds. A younger image may belong to a sandbox that is just being created."""

OF_A_PROJECT = frozenset({"project", "setup"})
"""The kinds of images that a repository's own Dockerfile or setup creates."""

_UNENDED = (
    TaskStatus.NEW, TaskStatus.IN_PROGRESS, TaskStatus.ITERATING, TaskStatus.PAUSED,
    TaskStatus.FAILED,
)  # fmt: skip
"""Statuses from which a task can continue."""


def prunable(images: Sequence[ImageInfo], needed: Collection[str], now: float) -> list[ImageInfo]:
    """The images that no container and no task needs, and that no needed image is built on. An
    image comes before the one that it is built on."""
    kept = [i for i in images if i.used or i.tag in needed or now - i.created_at < MIN_AGE]

    def carries(image: ImageInfo) -> bool:
        # Engines do not say which image was built on which. An image whose layers begin with all
        # layers of another one was built on it.
        depth = len(image.layers)
        return any(other.layers[:depth] == image.layers for other in kept)

    free = [i for i in images if i not in kept and not carries(i)]
    return sorted(free, key=lambda i: (-len(i.layers), i.tag))


def made_for(images: Sequence[ImageInfo], tags: Collection[str]) -> list[ImageInfo]:
    """Of the images that those with these tags consist of, the ones that include a project's own
    image or setup. An image comes before the one that it is built on."""

    def carries(lower: ImageInfo, upper: ImageInfo) -> bool:
        return upper.layers[: len(lower.layers)] == lower.layers

    tops = [image for image in images if image.tag in tags]
    parts = [image for image in images if any(carries(image, top) for top in tops)]
    roots = [image for image in parts if image.kind in OF_A_PROJECT]
    own = [image for image in parts if any(carries(root, image) for root in roots)]
    return sorted(own, key=lambda i: (-len(i.layers), i.tag))


@dataclass(frozen=True)
class BuildRequest:
    """None means what a task would use."""

    repo_path: str | None = None
    engine: str | None = None
    image: str | None = None


class BuildImage(Protocol):
    """Builds the image of a project's next task."""

    def __call__(
        self,
        caller: Caller,
        request: BuildRequest,
        progress: Callable[[str], None],
        stop: CancelToken,
    ) -> dict[str, Any]:
        """Build the image; the result as `rover image build --json` prints it. Raises
        RoverError."""
        ...


@dataclass
class RoverImages:
    """`engines` are those that store images, by name."""

    home: Path
    store: Store
    engines: Mapping[str, ImageKeeper]

    def list(self) -> list[dict[str, Any]]:
        """Every image that Rover built, on every engine that answers."""
        return [_view(name, image) for name, image in self._all()]

    def prune(self, now: float, *, dry_run: bool) -> list[dict[str, Any]]:
        """Remove what no task needs, or, with `dry_run`, only say what that would be. An image that
        the engine refuses to remove stays."""
        needed = self._needed()
        removals: list[dict[str, Any]] = []
        for name, keeper in self.engines.items():
            images = [image for engine, image in self._all() if engine == name]
            for image in prunable(images, needed, now):
                removed = not dry_run and keeper.remove_image(image.tag)
                removals.append({**_view(name, image), "removed": removed})
        return removals

    def is_free(self, engine: str, tag: str, now: float) -> bool:
        """Whether an image may still go: a task may have been created since it was listed."""
        keeper = self.engines.get(engine)
        images = keeper.images() if keeper else ()
        return any(image.tag == tag for image in prunable(images, self._needed(), now))

    def used_by(self, task_ids: Collection[str]) -> set[str]:
        """Tags of the images that sandboxes of these tasks were made from."""
        places = (self.home / "tasks" / task_id for task_id in task_ids)
        return {tag for place in places for tag in _tags(place)}

    def own(self, tags: Collection[str]) -> list[dict[str, Any]]:
        """Of the images below these tags, those that only a project's own image or setup
        created."""
        images = self._all()
        return [
            _view(name, image)
            for name in self.engines
            for image in made_for([i for engine, i in images if engine == name], tags)
        ]

    def remove_own(self, tags: Collection[str]) -> None:
        """Remove these images, except what another task needs or the engine refuses to remove."""
        needed = self._needed()
        for name, keeper in self.engines.items():
            images = [image for engine, image in self._all() if engine == name]
            free = {image.tag for image in prunable(images, needed, math.inf)}
            for image in made_for(images, tags):
                if image.tag in free:
                    keeper.remove_image(image.tag)

    def _all(self) -> list[tuple[str, ImageInfo]]:
        images: list[tuple[str, ImageInfo]] = []
        for name, keeper in self.engines.items():
            try:
                images += [(name, image) for image in keeper.images()]
            except EnvironmentFault:
                # An engine may be listed in the settings and not be running today. That must not
                # hide the images of the others.
                continue  # it is not installed, or does not run: it has none to show
        return images

    def _needed(self) -> set[str]:
        tags: set[str] = set()
        for folder in (self.home / "tasks").iterdir():
            try:
                task = self.store.tasks.get(folder.name)
            except DamagedRecord:
                task = None
            # One without a record is being made, or is rebuilt by `rover doctor --repair`.
            if task is None or task.status in _UNENDED:
                tags |= _tags(folder)
        return tags


def _tags(folder: Path) -> set[str]:
    """The images that the attempts in a task's folder were created from."""
    files = folder.glob(f"iterations/*/spec-*/{IMAGE_FILE}")
    return {file.read_text("utf-8").strip() for file in files}


def _view(engine: str, image: ImageInfo) -> dict[str, Any]:
    facts = asdict(image)
    return {"engine": engine, **{k: v for k, v in facts.items() if k != "layers"}}
