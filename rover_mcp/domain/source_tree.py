"""The files of a task's base commit, and what a project says about its sandbox image."""

from __future__ import annotations

import tarfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class SourceFile:
    """A file or symbolic link of a commit: git's mode, and the id of its content."""

    path: str
    mode: str
    id: str
    size: int


class SourceTree(Hashable, Protocol):
    """The files of the task's base commit. Untrusted data. Equal trees belong to the same
    commit."""

    def files(self) -> Sequence[SourceFile]:
        """All files, without submodules.

        Raises:
            EnvironmentFault: they cannot be read.
        """
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's content; None where there is none, or it is larger than `limit`."""
        ...

    def pack(self, folder: str, archive: tarfile.TarFile) -> None:
        """Add what is beneath `folder` to an archive.

        Raises:
            EnvironmentFault: "too_large".
        """
        ...


@dataclass(frozen=True)
class DockerfileBuild:
    """A Dockerfile of the repository. Paths are relative to its root, without `..`; "" is the root.
    `key` changes with the content of the context. `offline`: without a network."""

    dockerfile: str
    context: str
    args: Mapping[str, str] = field(default_factory=dict[str, str])
    target: str | None = None
    key: str = ""
    offline: bool = False


@dataclass(frozen=True)
class ProjectSetup:
    """What a project says about its sandboxes' image: the `image` or `build` that it is made from,
    and that the commands of `SandboxSpec.run.setup` run in it."""

    image: str | None = None
    build: DockerfileBuild | None = None
    tree: SourceTree | None = None
