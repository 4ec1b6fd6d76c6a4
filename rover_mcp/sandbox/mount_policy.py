"""Decides which of the host's folders no sandbox may see, and judges a list of mounts.

Every engine asks `refuse_exposure` before it mounts anything or copies a folder into an image. The
data folder holds every task, the database and the daemon's socket; HOME holds the user's keys; the
runtime folder holds the sockets of the user's other programs. Whoever reaches one of them from
inside a sandbox is the user.

Paths are compared as the kernel knows them, by file system and the path within it, so that neither
a symbolic link nor a bind mount gives a folder another name.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.launcher.handshake import socket_path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class HostPath:
    """Where a path really is: the number of its file system, and the path within that."""

    device: str
    path: Path

    def holds(self, other: HostPath) -> bool:
        """Whether `other` is this folder or beneath it."""
        return self.device == other.device and _within(other.path, self.path)


@dataclass(frozen=True)
class MountPoint:
    """A line of mountinfo: `root` of the file system `device` is seen at `point`."""

    device: str
    root: Path
    point: Path


@dataclass(frozen=True)
class PrivateFolder:
    """A folder that no sandbox may see. `closed`: nothing that lies in it may be mounted either,
    but for what the sandbox contract names."""

    name: str
    path: Path
    place: HostPath
    closed: bool
    remedy: str


@dataclass(frozen=True)
class MountSource:
    """A file or folder of the host's that is to be mounted. `shows` is where it is and, for all
    that is mounted beneath it, if that is. `ours`: the sandbox contract names this exact path,
    and no link leads from it to another."""

    path: Path
    shows: Sequence[HostPath]
    ours: bool = False


@dataclass(frozen=True)
class Exposure:
    """A mount that must not be made, and why."""

    source: Path
    folder: PrivateFolder
    beneath: bool


def find_exposure(
    sources: Iterable[MountSource], private: Sequence[PrivateFolder]
) -> Exposure | None:
    """The first of these mounts that would show a private folder, or a part of a closed one."""
    for source in sources:
        for folder in private:
            if any(place.holds(folder.place) for place in source.shows):
                return Exposure(source.path, folder, beneath=False)
            beneath = any(folder.place.holds(place) for place in source.shows)
            if folder.closed and beneath and not source.ours:
                return Exposure(source.path, folder, beneath=True)
    return None


def hidden_folders(shown: Sequence[str], private: Sequence[PrivateFolder]) -> list[Path]:
    """Those private folders that lie beneath a folder that a sandbox is shown at its own path."""
    paths = [folder.path for folder in private]
    return [path for path in paths if any(_within(path, Path(top)) for top in shown)]


def parse_mounts(text: str) -> list[MountPoint]:
    """The lines of mountinfo (proc(5))."""
    lines = (line.split(" ") for line in text.splitlines())
    return [
        MountPoint(fields[2], Path(_unescaped(fields[3])), Path(_unescaped(fields[4])))
        for fields in lines
        if len(fields) > 4
    ]


def place_of(path: Path, mounts: Sequence[MountPoint]) -> HostPath:
    """Where an absolute path without links is."""
    over = MountPoint("", Path("/"), Path("/"))
    for mount in mounts:
        # The later of two at the same point covers the earlier.
        deeper = len(mount.point.parts) >= len(over.point.parts)
        if deeper and _within(path, mount.point):
            over = mount
    return HostPath(over.device, over.root / path.relative_to(over.point))


def shown_by(path: Path, mounts: Sequence[MountPoint]) -> list[HostPath]:
    """Where an absolute path without links is, and what is mounted beneath it."""
    beneath = [m for m in mounts if m.point != path and _within(m.point, path)]
    return [place_of(path, mounts), *(HostPath(m.device, m.root) for m in beneath)]


def _within(path: Path, folder: Path) -> bool:
    # As is_relative_to does, which is too slow for every source against every mount.
    inner, outer = str(path), str(folder)
    return inner == outer or inner.startswith(outer if outer == "/" else f"{outer}/")


# -- looking at this host ----------------------------------------------------------------------


def private_folders(home: Path, environ: Mapping[str, str]) -> list[PrivateFolder]:
    """The folders that no sandbox may see; `home` is the data folder."""
    mounts = _read_mounts()
    data = "name another data folder (ROVER_HOME, --home), outside of the system's folders"
    candidates = [("the data folder", home, True, data)]
    if (folder := socket_path(home).parent) != home:
        candidates.append(("the folder of the daemon's socket", folder, True, data))
    for path in _home_folders(environ):
        candidates.append(("the home folder", path, False, "set HOME to a folder of your own"))
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    candidates.append(("the runtime folder", Path(runtime), False, "name another XDG_RUNTIME_DIR"))
    resolved = [(name, path.resolve(), closed, how) for name, path, closed, how in candidates]
    return [
        PrivateFolder(name, path, place_of(path, mounts), closed, remedy)
        for name, path, closed, remedy in resolved
    ]


def refuse_exposure(home: Path, sources: Iterable[Path], ours: Iterable[Path] = ()) -> None:
    """Judge what is to be mounted into a sandbox. `home` is the data folder, `ours` are those of
    `sources` in it that the sandbox contract names.

    Raises:
        EnvironmentFault: "mount_refused": one of them would show a private folder.
    """
    mounts, known = _read_mounts(), frozenset(ours)
    exposure = find_exposure(
        [_source(path, mounts, home, path in known) for path in sources],
        private_folders(home, os.environ),
    )
    if exposure is None:
        return
    folder = exposure.folder
    how = "lies in" if exposure.beneath else "is or contains"
    raise EnvironmentFault(
        f"a sandbox would see {folder.name}: {exposure.source}, which it needs, {how} "
        f"{folder.path}",
        hint=f"move {exposure.source} out of it" if exposure.beneath else folder.remedy,
        code="mount_refused",
    )


def _home_folders(environ: Mapping[str, str]) -> list[Path]:
    named = environ.get("HOME")
    homes = [Path(named)] if named and named.startswith("/") else []
    try:
        own = Path(pwd.getpwuid(os.getuid()).pw_dir)
        # A service account's entry often names a folder of the system, such as /usr/sbin.
        if own.stat().st_uid == os.getuid():
            homes.append(own)
    except (KeyError, OSError):
        return homes
    return list(dict.fromkeys(homes))


def _source(path: Path, mounts: Sequence[MountPoint], home: Path, ours: bool) -> MountSource:
    real = path.resolve()
    named = ours and path.is_relative_to(home)
    moved = named and real != home.resolve() / path.relative_to(home)
    return MountSource(path, shown_by(real, mounts), named and not moved)


def _read_mounts() -> list[MountPoint]:
    try:
        return parse_mounts(_MOUNTS.read_text("utf-8", "surrogateescape"))
    except OSError as error:
        raise EnvironmentFault(
            f"the mounts of this machine cannot be read: {error}",
            hint="mount /proc, which every engine needs",
            code="mount_refused",
        ) from error


def _unescaped(field: str) -> str:
    return _ESCAPED.sub(lambda escape: chr(int(escape[1], 8)), field)
