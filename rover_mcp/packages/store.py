"""The packages of one project, kept on this machine between its tasks, up to a cap.

A task never writes here: what its HOME holds when it ends is looked at from outside and copied
where its content is proven. Nor does it read here: what is kept is copied into its HOME before it
begins, so nothing that it does to its copy reaches another task.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rover_mcp.packages import cargo, npm, pip
from rover_mcp.packages.files import Patience

FOLDER = "packages"
"""In a project's folder."""

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class PackageStore:
    """`most` bytes are kept; what was not used for longest goes first. 0: nothing is."""

    folder: Path
    most: int

    def keep(self, home: Path, crates: Mapping[str, str] = NONE) -> int:
        """Take over what a task has fetched; how many files were new. `crates`: those that the
        base of the task demands, see cargo.demanded.

        Raises:
            OSError: it cannot be read, or kept.
        """
        if self.most <= 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            return 0
        # The same for each: none crowds out the other's names, nor reads more than is kept.
        new = [
            path
            for kind in (npm, pip)
            for path in kind.keep(home, self.folder, Patience(self.most))
        ]
        new += cargo.keep(home, self.folder, crates, Patience(self.most))
        if new:
            self._trim()
        return len(new)

    def lend(self, home: Path, crates: Mapping[str, str] = NONE) -> int:
        """Copy what is kept into the HOME of a task that has not begun; how many files. Of the
        crates only those that its base demands.

        Raises:
            OSError: it cannot be copied.
        """
        if self.most <= 0:
            return 0
        copied = 0
        # Contents before the answers that they belong to: one without the other is of no use.
        for source in sorted(self._files(), key=lambda path: path.suffix != pip.BODY):
            target = home / source.relative_to(self.folder)
            # What begins with a dot is not whole yet.
            if source.name.startswith(".") or pip.lacks_content(target):
                continue
            if source.is_relative_to(self.folder / cargo.KEPT):
                continue
            # Another task's end may remove what is too much.
            with suppress(FileNotFoundError):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                os.utime(source)
                copied += 1
        return copied + cargo.lend(home, self.folder, crates)

    def _files(self) -> list[Path]:
        return [Path(at, name) for at, _, names in os.walk(self.folder) for name in names]

    def _trim(self) -> None:
        known: list[tuple[float, int, Path]] = []
        for path in self._files():
            with suppress(FileNotFoundError):
                facts = path.stat()
                known.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in known)
        for _, size, path in sorted(known):
            if total <= self.most:
                return
            for part in (path, path.with_name(f"{path.name}{pip.BODY}"), path.with_suffix("")):
                part.unlink(missing_ok=True)
            total -= size
