"""The packages of one project, kept on this machine between its tasks, up to a cap.

A task never writes here: what its HOME holds when it ends is looked at from outside and copied
where its content is proven. Nor does it read here: what is kept is copied into its HOME before it
begins, so nothing that it does to its copy reaches another task.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rover_mcp.packages import cargo, go, npm, pip, uv
from rover_mcp.packages.home_files import HomeFile, ReadBudget
from rover_mcp.packages.wheels import Open, fetch, opened

FOLDER = "packages"
"""In a project's folder."""


@dataclass(frozen=True)
class NeededPackages:
    """What the lock files of a task's base name, see cargo.demanded, go.demanded, uv.demanded."""

    crates: Mapping[str, str] = field(default_factory=dict[str, str])
    modules: tuple[go.NeededFile, ...] = ()
    wheels: tuple[uv.Wheel, ...] = ()


NOTHING = NeededPackages()
# What is kept of npm and pip is proven by the digest in its own name or address. Of these, only a
# committed lock file says which content is the right one.
_NAMED = (cargo.KEPT, go.KEPT, uv.KEPT)
"""What is lent only where a lock file names it."""
_UNPACKED = 4
"""How much larger an unpacked wheel is, at most, as a rule."""


@dataclass(frozen=True)
class PackageStore:
    """`most` bytes are kept; what was not used for longest goes first. 0: nothing is."""

    folder: Path
    most: int

    def keep(self, home: Path, demanded: NeededPackages = NOTHING) -> int:
        """Take over what a task has fetched; how many files were new.

        Raises:
            OSError: it cannot be read, or kept.
        """
        if self.most <= 0:
            # Switched off since: what was kept before would otherwise stay for ever.
            shutil.rmtree(self.folder, ignore_errors=True)
            return 0
        # The same for each: none crowds out the other's names, nor reads more than is kept.
        new = [
            path
            for kind in (npm, pip)
            for path in kind.keep(home, self.folder, ReadBudget(self.most))
        ]
        new += cargo.keep(home, self.folder, demanded.crates, ReadBudget(self.most))
        new += go.keep(home, self.folder, demanded.modules, ReadBudget(self.most))
        new += uv.keep(home, self.folder, demanded.wheels, ReadBudget(self.most))
        if new:
            self._trim()
        return len(new)

    @property
    def has_named(self) -> bool:
        """Whether there is anything that is lent only where a lock file names it."""
        return any((self.folder / kept).is_dir() for kept in _NAMED)

    def lacking(self, demanded: NeededPackages) -> list[uv.Wheel]:
        """The wheels that a task has used and that only `fetch` can have kept."""
        return uv.lacking(self.folder, demanded.wheels) if self.most > 0 else []

    def fetch(self, demanded: NeededPackages, get: Open = opened) -> int:
        """Fetch and keep the wheels that a base demands and that are lacking, as far as all of
        its wheels have room together; how many there are now.

        Raises:
            OSError: one cannot be kept.
        """
        kept = (uv.kept_at(self.folder, wheel) for wheel in demanded.wheels)
        budget, fetched = ReadBudget(self.most - sum(map(uv.size_of, kept))), 0
        for wheel in self.lacking(demanded):
            # The project may have been forgotten meanwhile.
            if wheel.size * _UNPACKED < budget.size and self.folder.is_dir():
                target = uv.kept_at(self.folder, wheel)
                fetched += fetch(wheel.url, wheel.digest, target, budget, get)
        if fetched:
            self._trim()
        return fetched

    def places(self, demanded: NeededPackages = NOTHING) -> Iterator[str]:
        """The folders of a HOME in which something may be that is worth keeping."""
        yield "/".join(npm.FOLDERS)
        for kind in (pip.SEPARATE, pip.TOGETHER):
            yield "/".join((*pip.FOLDERS, kind))
        if demanded.crates:
            yield "/".join(cargo.FOLDERS)
        if demanded.modules:
            yield "/".join(go.FOLDERS)
        for bucket in uv.BUCKETS if demanded.wheels else ():
            yield "/".join((*uv.FOLDERS, bucket, uv.INDEX))

    def has(self, path: Path, demanded: NeededPackages = NOTHING) -> bool:
        """Whether what is at this path of a HOME is kept already, or would not be."""
        if path.is_relative_to(Path(*cargo.FOLDERS)):
            return not cargo.lacks(self.folder, demanded.crates, path)
        if path.is_relative_to(Path(*go.FOLDERS)):
            return not go.lacks(self.folder, demanded.modules, path)
        if path.is_relative_to(Path(*uv.FOLDERS)):
            return path.suffix != uv.POINTER
        return (self.folder / path).exists()

    def lend(self, home: Path, demanded: NeededPackages = NOTHING, *, linked: bool = False) -> int:
        """Copy what is kept into the HOME of a task that has not begun; how many files. `linked`:
        by hard links, into a folder that is never written to.

        Raises:
            OSError: it cannot be copied.
        """
        copied = 0
        for lent in self.lent(demanded):
            target = home / lent.path
            # Its content was removed from the store since, or could not be copied.
            if pip.lacks_content(target):
                continue
            # Another task's end may remove what is too much.
            with suppress(FileNotFoundError):
                target.parent.mkdir(parents=True, exist_ok=True)
                _place(lent.source, target, linked=linked)
                copied += 1
        if self.most > 0:
            place = partial(_place, linked=linked)
            copied += uv.lend(home, self.folder, demanded.wheels, place)
        return copied

    def lent(self, demanded: NeededPackages = NOTHING) -> Iterator[HomeFile]:
        """What a task finds in its HOME, of crates and Go's modules only those that its base
        demands. It counts as used."""
        if self.most <= 0:
            return
        for lent in self._lent(demanded):
            with suppress(FileNotFoundError):
                # Its time says when it was used last, by which `_trim` chooses. The access time
                # would not do, since many file systems do not keep it.
                os.utime(lent.source)
                yield lent

    def _lent(self, demanded: NeededPackages) -> Iterator[HomeFile]:
        # Contents before the answers that they belong to: one without the other is of no use.
        for source in sorted(self._files(), key=lambda path: path.suffix != pip.BODY):
            path = source.relative_to(self.folder)
            # A name with a leading dot is one that is still being written.
            if not source.name.startswith(".") and path.parts[0] not in _NAMED:
                yield HomeFile(str(path), source)
        yield from cargo.lent(self.folder, demanded.crates)
        yield from go.lent(self.folder, demanded.modules)

    def _files(self) -> list[Path]:
        paths: list[Path] = []
        for at, folders, names in os.walk(self.folder):
            if Path(at) == self.folder and uv.KEPT in folders:
                folders.remove(uv.KEPT)  # see uv.units
            paths += (Path(at, name) for name in names)
        return paths

    def _trim(self) -> None:
        known = list(uv.units(self.folder))
        for path in self._files():
            with suppress(FileNotFoundError):
                facts = path.stat()
                known.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in known)
        for _, size, path in sorted(known):
            if total <= self.most:
                return
            if path.is_dir():
                uv.remove(path)
            else:
                for part in (path, path.with_name(f"{path.name}{pip.BODY}"), path.with_suffix("")):
                    part.unlink(missing_ok=True)
            total -= size


def _place(source: Path, target: Path, *, linked: bool) -> None:
    if linked:
        with suppress(OSError):
            os.link(source, target)
            return
    # A copy, unless the folder is never written to: through a hard link a task could change the
    # file of the store, and so what every later task finds.
    shutil.copy(source, target)
