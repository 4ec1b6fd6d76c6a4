"""Brings the daemon's own Python into bubblewrap sandboxes, as far as they need it.

Inside, an interpreter runs forward.py. One that belongs to the system is there already. Of any
other only the program, its standard library and the shared libraries that both need are mounted,
one by one and at a place of its own: the prefix may be a folder like ~/.local, which holds
much that is not Python's. Packages that are installed there are not shown.

Its loader gets the path of the libraries as an argument, because the program may name the folder of
the host that they were in when it was linked.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import python_bundle
from rover_mcp.sandbox.python_bundle import TARGET

_PACKAGES = ("site-packages", "dist-packages")
_RELATIVE = b"$ORIGIN"
"""In a program that looks for its libraries beside itself."""


@dataclass(frozen=True)
class PythonParts:
    """A Python of this host: pure data. `libraries` are those outside the system's folders, by
    name; `packages` the folders of the library that hold what was installed; `stands_alone`: it
    starts without the path of its libraries."""

    program: Path
    system: bool
    library: Path = Path()
    dynamic: Path | None = None
    libraries: Mapping[str, Path] | None = None
    packages: Sequence[str] = ()
    loader: Path = Path()
    stands_alone: bool = True


@dataclass(frozen=True)
class HostPython:
    """How a Python is mounted and started. `emptied` are folders inside that are shown empty.
    `folder` is where `python3` is, for PATH, unless that is a folder of the system."""

    argv: Sequence[str]
    mounts: Sequence[tuple[Path, Path]] = ()
    emptied: Sequence[Path] = ()
    folder: Path | None = None


def arrange(parts: PythonParts) -> HostPython:
    """Decide what of a Python is mounted where."""
    if parts.system:
        return HostPython((str(parts.program),))
    name = parts.program.name
    program = TARGET / "bin" / ("python3" if parts.stands_alone else name)
    library = TARGET / python_bundle.version_folder()
    mounts = [(parts.program, program), (parts.library, library)]
    if parts.dynamic is not None:
        mounts.append((parts.dynamic, library / "lib-dynload"))
    # Where those look that are found beside the program.
    libraries = parts.libraries or {}
    mounts += [(file, TARGET / "lib" / name) for name, file in sorted(libraries.items())]
    loader_options = (str(parts.loader), "--library-path", str(TARGET / "lib")) if libraries else ()
    return HostPython(
        (*loader_options, str(program)),
        mounts,
        [library / name for name in parts.packages],
        program.parent if parts.stands_alone else None,
    )


def host_python(system: Sequence[str]) -> HostPython:
    """This daemon's Python; `system` are the folders that a sandbox has anyway.

    Raises:
        EnvironmentFault: it is outside of them, and its parts cannot be found.
    """
    return arrange(_find_parts(tuple(system), python_bundle.interpreter()))


@functools.cache
def _find_parts(system: tuple[str, ...], program: Path) -> PythonParts:
    library, dynamic = python_bundle.standard_library()
    if _in_system(program, system) and _in_system(library, system):
        return PythonParts(program, system=True)
    loader = python_bundle.loader()
    own = python_bundle.shared_libraries([program], loader)
    libraries = {**_of_modules(dynamic or library / "lib-dynload", loader), **own}
    outside = {n: f.resolve() for n, f in libraries.items() if not _in_system(f.resolve(), system)}
    alone = own.keys().isdisjoint(outside) or _RELATIVE in program.read_bytes()
    packages = [name for name in _PACKAGES if (library / name).is_dir()]
    return PythonParts(program, False, library, dynamic, outside, packages, loader, alone)


def _of_modules(folder: Path, loader: Path) -> dict[str, Path]:
    """The libraries that extension modules need. A module that cannot be loaded here is left
    out."""
    libraries: dict[str, Path] = {}
    for module in sorted(folder.glob("*.so")):
        try:
            libraries |= python_bundle.shared_libraries([module], loader)
        except EnvironmentFault:
            continue
    return libraries


def _in_system(path: Path, system: Sequence[str]) -> bool:
    return any(path.is_relative_to(folder) for folder in system)
