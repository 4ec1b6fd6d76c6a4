"""Tightens podman's seccomp profile to what Docker's forbids.

podman's own (containers/common, seccomp.json) lets a container make user namespaces and mount in
them. An agent in a namespace of its own has every capability there, and reaches file systems and
network code of the kernel in which most of its escapes were found.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from agent_runner.atomic_write import replace_file
from rover_mcp.domain.errors import EnvironmentFault

# Beside namespaces and mounts: what has no use for an agent, and had most of the kernel's exploits
# of the last years (bpf, userfaultfd, io_uring, keys), or opens files past the mounts
# (open_by_handle_at).
FORBIDDEN = frozenset(
    {
        "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree",
        "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "keyctl", "add_key",
        "request_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
        "io_uring_enter", "io_uring_register", "open_by_handle_at", "kexec_load",
        "kexec_file_load", "init_module", "finit_module", "delete_module",
    }
)  # fmt: skip
_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag, sched.h
_NO_SYSCALL = 38  # ENOSYS: the C library then falls back to clone; no filter sees clone3's flags
_RULES: list[dict[str, Any]] = [
    {
        "names": ["clone"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": _NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
    },
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _NO_SYSCALL},
    {"names": sorted(FORBIDDEN), "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
]


def tightened(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile without what FORBIDDEN names, and without new namespaces."""
    # A rule of the profile that allows a call wins over a later one that refuses it, so the names
    # are taken out of its rules first.
    gone = FORBIDDEN | {"clone", "clone3"}
    kept = [
        {**rule, "names": names}
        for rule in cast("list[dict[str, Any]]", profile["syscalls"])
        if (names := [name for name in cast("list[str]", rule["names"]) if name not in gone])
    ]
    return {**profile, "syscalls": [*kept, *_RULES]}


def write_tightened(source: Path, folder: Path) -> Path:
    """Write the tightened profile of `source` into `folder`; the file's path.

    Raises:
        EnvironmentFault: the profile cannot be read; a sandbox must not start without one.
    """
    target = folder / "podman-seccomp.json"
    try:
        profile = tightened(json.loads(source.read_bytes()))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(target, json.dumps(profile))
    except (OSError, ValueError, KeyError) as error:
        raise EnvironmentFault(
            f"podman's seccomp profile {source} cannot be used: {error}",
            hint="install your distribution's containers-common package",
        ) from error
    return target
