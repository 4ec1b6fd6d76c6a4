"""Checks the programs that sandboxes are built on for versions with known escapes. A version is not
proof, because distributions fix older versions too; so it is a warning and decides nothing."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 10.0
_NUMBERS = re.compile(r"(\d+(?:\.\d+)+)")

Version = tuple[int, ...]


@dataclass(frozen=True)
class CorrectedVersion:
    """A version has the flaw from `since` until `fixed`, which is the first version without it on
    each line that upstream maintains. `set_user_id`: only where the program runs as root for every
    user."""

    program: str
    flaw: str
    fixed: Sequence[Version]
    since: Version = (0,)
    set_user_id: bool = False


FLOORS = (
    CorrectedVersion("bwrap", "CVE-2026-41163", [(0, 11, 2)], since=(0, 11, 0), set_user_id=True),
    # GHSA-pxhw-h44j-8pfx: a destination below a link is made on the host.
    CorrectedVersion("bwrap", "CVE-2026-87766", [(0, 12, 0)]),
    # GHSA-xr7r-f8xq-vfvv
    CorrectedVersion("runc", "CVE-2024-21626", [(1, 1, 12)]),
    # GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r, GHSA-cgrx-mc8f-2prm
    CorrectedVersion(
        "runc", "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881", [(1, 2, 8), (1, 3, 3)]
    ),
    CorrectedVersion("podman", "CVE-2025-9566", [(5, 6, 1)]),
    # GHSA-cgrx-mc8f-2prm, in a library that it shares with runc.
    CorrectedVersion("podman", "CVE-2025-52881", [(5, 7, 0)]),
    # An annotation of an image switches the sandbox off.
    CorrectedVersion("podman", "CVE-2026-94603", [(6, 1, 3)]),
)


@dataclass(frozen=True)
class FoundProgram:
    """A program on this machine."""

    program: str
    version: Version
    text: str
    set_user_id: bool = False


@dataclass(frozen=True)
class VersionWarning:
    """A remark about a program."""

    program: str
    detail: str
    todo: str


def concerns(programs: Sequence[FoundProgram]) -> list[VersionWarning]:
    """One remark for each program that is older than a fix, or runs as root for no reason. Pure."""
    dated = [concern for f in programs if (concern := _dated(f)) is not None]
    return [*dated, *(_privileged(f) for f in programs if f.set_user_id)]


def find(programs: Sequence[str] = ("bwrap", "runc", "podman")) -> list[FoundProgram]:
    """The programs on this machine, with the versions that they print."""
    paths = {name: shutil.which(name) for name in programs}
    return [f for name, path in paths.items() if path and (f := _ask(name, Path(path)))]


def is_below(version: Version, floor: CorrectedVersion) -> bool:
    """Whether a version has the flaw: it is older than the fix on its own line, or its line is
    older than all that were fixed."""
    if version < floor.since:
        return False
    own = [fixed for fixed in floor.fixed if fixed[:2] == version[:2]]
    return version < (own[0] if own else min(floor.fixed))


def _dated(program: FoundProgram) -> VersionWarning | None:
    floors = [
        floor
        for floor in FLOORS
        if floor.program == program.program
        and (program.set_user_id or not floor.set_user_id)
        and is_below(program.version, floor)
    ]
    if not floors:
        return None
    flaws = ", ".join(floor.flaw for floor in floors)
    newest = " or ".join(".".join(map(str, fixed)) for fixed in floors[-1].fixed)
    return VersionWarning(
        program.program,
        f"{program.text} is older than {newest}, which fixes {flaws}; your distribution may have "
        "fixed it in this version",
        f"see what your distribution says about {flaws}, or install "
        f"{program.program} {newest} or later",
    )


def _privileged(program: FoundProgram) -> VersionWarning:
    return VersionWarning(
        program.program,
        f"{program.text} is set-user-id: every program of yours starts it as root",
        "it does not need that where user namespaces are allowed: sudo chmod u-s "
        f"{shutil.which(program.program) or program.program}",
    )


def _ask(program: str, path: Path) -> FoundProgram | None:
    try:
        ended = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False
        ).stdout
        mode = path.stat().st_mode
    except (OSError, subprocess.TimeoutExpired):
        return None
    if (numbers := _NUMBERS.search(ended)) is None:
        return None
    version = tuple(int(part) for part in numbers[1].split("."))
    return FoundProgram(program, version, numbers[1], bool(mode & stat.S_ISUID))
