"""Limits memory, processes and CPU of a sandbox on the host, through control groups.

A group is made beside or beneath this process's own, where the kernel lets this user: version 1
as root, version 2 as root or in a delegated subtree (a systemd user session). The commands enter
it, and the runner stays outside: the kernel's out-of-memory killer then never picks the runner,
which has to record that an agent ran out of memory.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.resource_limits import ResourceLimits

LIMITS = {"memory": "memory", "cpu": "cpu", "processes": "pids"}
"""A limit's name -> its controller."""
_PERIOD = 100_000  # microseconds; the kernel's own default
_TRIAL_TIMEOUT = 10.0


@dataclass(frozen=True)
class CgroupParents:
    """Where groups may be made for a controller; the nearest first. `version` is 1 or 2."""

    version: int
    folders: Sequence[Path]


@dataclass(frozen=True)
class Group:
    """One sandbox's groups (version 1 has one for each controller), and what they limit."""

    folders: Sequence[str] = ()
    applied: Sequence[str] = ()

    def enter(self) -> list[str]:
        """The argument list that, before a command, puts it into the groups, or fails."""
        if not self.folders:
            return []
        files = " ".join(shlex.quote(f"{folder}/cgroup.procs") for folder in self.folders)
        # Not through Popen's preexec_fn: that runs Python code between fork and exec, which can
        # deadlock in a process with threads.
        script = f'for f in {files}; do echo $$ >"$f" || exit 125; done; exec "$@"'
        return ["/bin/sh", "-c", script, "sh"]

    @property
    def not_applied(self) -> list[str]:
        return [name for name in LIMITS if name not in self.applied]


def places(mounts: str, own: str) -> dict[str, CgroupParents]:
    """Controller -> where groups may be made, from /proc/self/mountinfo and /proc/self/cgroup."""
    paths = dict(_own_paths(own))
    places_by_name: dict[str, CgroupParents] = {}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        root, mount = fields[3], Path(fields[4])
        if kind[0] == "cgroup":
            for controller in {*kind[2].split(",")} & {*LIMITS.values()} & paths.keys():
                places_by_name[controller] = CgroupParents(
                    1, [_beneath(mount, root, paths[controller])]
                )
        elif kind[0] == "cgroup2" and "" in paths:
            mine = _beneath(mount, root, paths[""])
            inside = [f for f in (mine, *mine.parents) if f.is_relative_to(mount)]
            for controller in LIMITS.values():
                places_by_name.setdefault(controller, CgroupParents(2, inside))
    return places_by_name


def settings(controller: str, version: int, limits: ResourceLimits) -> dict[str, str]:
    """File -> content; those whose name ends with ? may be missing (no swap)."""
    memory, quota = str(limits.memory_bytes), str(int(limits.cpus * _PERIOD))
    match controller, version:
        case "memory", 1:
            return {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes?": memory}
        case "memory", _:
            # No swap, as for containers: at its limit a sandbox would swap for hours.
            return {"memory.max": memory, "memory.swap.max?": "0"}
        case "cpu", 1:
            return {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": quota}
        case "cpu", _:
            return {"cpu.max": f"{quota} {_PERIOD}"}
        case _:
            return {"pids.max": str(limits.pids)}


def make(
    name: str, limits: ResourceLimits, known: Mapping[str, CgroupParents] | None = None
) -> Group:
    """Make the groups of a sandbox, as far as this user may make and enter them. Idempotent."""
    if known is None:
        known = _here()
    folders: list[str] = []
    applied: list[str] = []
    for limit, controller in LIMITS.items():
        folder = _make_one(name, controller, limits, known.get(controller))
        if folder is not None:
            applied.append(limit)
            folders += [folder] if folder not in folders else []
    group = Group(folders, applied)
    # A group may be made and still refuse processes: version 2 does where the parent has some, and
    # moving one needs rights at the common ancestor.
    if folders and not _can_enter(group):
        remove(folders)
        return Group()
    return group


def remove(folders: Sequence[str]) -> None:
    """Remove groups whose processes have ended."""
    for folder in folders:
        with suppress(OSError):
            Path(folder).rmdir()


def ran_out_of_memory(folders: Sequence[str]) -> bool:
    """Whether the kernel killed something in these groups for lack of memory."""
    for folder in folders:
        for file in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                text = Path(folder, file).read_text("ascii")
                if any(
                    w[0] == "oom_kill" and w[1] != "0" for w in map(str.split, text.splitlines())
                ):
                    return True
    return False


def _here() -> dict[str, CgroupParents]:
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8")
        return places(mounts, Path("/proc/self/cgroup").read_text("utf-8"))
    except OSError:
        return {}


def _own_paths(own: str) -> list[tuple[str, str]]:
    lines = [line.split(":", 2) for line in own.splitlines()]
    return [(name, path) for _, names, path in lines for name in names.split(",")]


def _beneath(mount: Path, root: str, path: str) -> Path:
    inside = os.path.relpath(path, root)
    return mount if inside.startswith("..") else mount / inside


def _make_one(
    name: str, controller: str, limits: ResourceLimits, place: CgroupParents | None
) -> str | None:
    if place is None:
        return None
    for parent in place.folders:
        folder = parent / name
        try:
            if place.version == 2:
                enabled = (parent / "cgroup.subtree_control").read_text("ascii").split()
                if controller not in enabled:
                    continue
            folder.mkdir(exist_ok=True)
            for file, content in settings(controller, place.version, limits).items():
                path = folder / file.removesuffix("?")
                if path.exists() or not file.endswith("?"):
                    path.write_text(content, "ascii")
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            continue
        return str(folder)
    return None


def _can_enter(group: Group) -> bool:
    command = [*group.enter(), "/bin/true"]
    try:
        done = subprocess.run(
            command, env={}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TRIAL_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
