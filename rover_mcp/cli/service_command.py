"""`rover service`: lets the user's own service manager start the daemon after a reboot or a login.
It needs no daemon."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import subprocess
import sys
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import Paint
from rover_mcp.cli.tool_commands import home_of, show
from rover_mcp.launcher.daemon_start import DAEMON_COMMAND
from rover_mcp.launcher.user_service import Service, service_of

LINGER = Path("/var/lib/systemd/linger")
SECONDS = 30


def install(args: argparse.Namespace) -> int:
    """Write the service, enable it, and start it."""
    home, service = _service(args)
    _need_manager(service, home)
    try:
        service.file.parent.mkdir(parents=True, exist_ok=True)
        service.file.write_bytes(service.text)
    except OSError as error:
        raise ClientError(f"{service.file} cannot be written: {error.strerror}") from error
    if service.manager == "systemd":
        _call("systemctl", "--user", "daemon-reload")
        _call("systemctl", "--user", "enable", "--now", service.name)
    else:
        _try("launchctl", "bootout", f"{_domain()}/{service.name}")
        _call("launchctl", "bootstrap", _domain(), str(service.file))
    show(args, _state(service), _installed)
    return 0


def uninstall(args: argparse.Namespace) -> int:
    """Remove the service. A running daemon continues until it has nothing left to do."""
    _, service = _service(args)
    if not service.file.exists():
        raise ClientError("no service is installed", code="not_installed", hint="nothing to do")
    if service.manager == "systemd":
        _try("systemctl", "--user", "disable", service.name)
    else:
        _try("launchctl", "bootout", f"{_domain()}/{service.name}")
    try:
        service.file.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(f"{service.file} cannot be removed: {error.strerror}") from error
    if service.manager == "systemd":
        _try("systemctl", "--user", "daemon-reload")
    show(args, {"file": str(service.file)}, lambda result, _: [f"Removed {result['file']}."])
    return 0


def status(args: argparse.Namespace) -> int:
    """Show whether it is installed, enabled and running."""
    _, service = _service(args)
    show(args, _state(service), _status)
    return 0


def _service(args: argparse.Namespace) -> tuple[Path, Service]:
    home = Path(home_of(args))
    return home, service_of(home, os.environ, sys.platform, Path.home())


def _need_manager(service: Service, home: Path) -> None:
    """Check that there is a service manager.

    Raises:
        ClientError: there is none; the error says what to do instead.
    """
    asks = {
        "systemd": ("systemctl", "--user", "show-environment"),
        "launchd": ("launchctl", "print", _domain()),
    }
    if _try(*asks[service.manager]) is None:
        start = shlex.join(["env", f"ROVER_HOME={home}", *DAEMON_COMMAND])
        line = f"@reboot {start}"
        raise ClientError(
            f"{service.manager} is not available to your user, so nothing was installed",
            code="no_service_manager",
            hint=f"start the daemon at boot in another way, as with `crontab -e`: {line}",
        )


def _state(service: Service) -> Json:
    state: Json = {
        "manager": service.manager, "name": service.name, "file": str(service.file),
        "installed": service.file.exists(), "enabled": None, "running": None, "linger": None,
    }  # fmt: skip
    if service.manager == "systemd":
        for key, word in (("enabled", "is-enabled"), ("running", "is-active")):
            state[key] = _try("systemctl", "--user", word, service.name) is not None
        state["linger"] = (LINGER / getpass.getuser()).exists()
    else:
        loaded = _try("launchctl", "print", f"{_domain()}/{service.name}") is not None
        state |= {"enabled": loaded, "running": loaded}
    return state


def _installed(result: Json, paint: Paint) -> list[str]:
    lines = [f"Wrote {result['file']}: Rover starts whenever you log in."]
    return [*lines, *_linger(result, paint)]


def _status(result: Json, paint: Paint) -> list[str]:
    if not result["installed"]:
        return ["No service is installed. To start Rover automatically: rover service install"]
    words = [
        "enabled" if result["enabled"] else "not enabled: rover service install",
        "running" if result["running"] else "not running (it stops when nothing is left to do)",
    ]
    return [f"{result['file']}: {', '.join(words)}", *_linger(result, paint)]


def _linger(result: Json, paint: Paint) -> list[str]:
    if result["linger"] is not False:
        return []
    hint = "To start it at boot, before you log in: loginctl enable-linger"
    return [paint(hint, "yellow")]


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _try(*command: str) -> str | None:
    """What a program prints; None where it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _call(*command: str) -> None:
    """Run a program.

    Raises:
        ClientError: it failed.
    """
    if _try(*command) is None:
        raise ClientError(
            f"`{shlex.join(command)}` failed", code="service_manager",
            hint="run it yourself to see why, then call this again",
        )  # fmt: skip
