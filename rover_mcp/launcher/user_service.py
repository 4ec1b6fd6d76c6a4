"""The user's own service manager starts the daemon after a reboot or a login, so that tasks with a
date continue without a client: systemd (--user) on Linux, launchd on macOS. What is written for
them is made here; cli/service_command.py does it.

The daemon needs no more than to be started: one that finds another at work ends at once with 0, as
does one that has nothing to do, and neither is started again. One that was killed is.
"""

from __future__ import annotations

import hashlib
import os
import plistlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rover_mcp.launcher.daemon_start import DAEMON_COMMAND, importable
from rover_mcp.launcher.handshake import data_folder

NAME: Final = "rover-mcp"
OFFER: Final = "rover service install has Rover started after a reboot, so that it resumes then too"
OFFERED: Final = "service-offered"
"""The file in the data folder that says that the service has been offered."""
ENV: Final = "/usr/bin/env"
RESTART_SECONDS: Final = 30
REFUSES_DATA_FOLDER: Final = 3
"""Exit status of a daemon that would end in the same way again."""

_KEPT = (
    "PATH", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "DOCKER_HOST", "CONTAINER_HOST", "LANG",
    "PYTHON_KEYRING_BACKEND", "ROVER_AGENT_CACHE",
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
"""The variables that the service keeps of the environment in which it is installed: those by which
programs, logins and engines are found."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclass(frozen=True)
class Service:
    """The service of one data folder. `file`: what its manager reads."""

    manager: str
    name: str
    file: Path
    text: bytes


def service_of(home: Path, environ: Mapping[str, str], platform: str, user_home: Path) -> Service:
    """The service that starts the daemon of a data folder."""
    environment = _environment(home, environ)
    name = _name(home, environ)
    if platform == "darwin":
        label = f"dev.{name}"
        file = user_home / "Library" / "LaunchAgents" / f"{label}.plist"
        return Service("launchd", label, file, plist(label, DAEMON_COMMAND, environment))
    base = environ.get("XDG_CONFIG_HOME") or str(user_home / ".config")
    file = Path(base) / "systemd" / "user" / f"{name}.service"
    return Service("systemd", file.name, file, unit(DAEMON_COMMAND, environment).encode())


def is_installed(home: Path) -> bool:
    """Whether a service starts the daemon of a data folder."""
    try:
        return service_of(home, os.environ, sys.platform, Path.home()).file.exists()
    except (RuntimeError, OSError):
        return False


def offers(home: Path) -> bool:
    """Whether the service is to be offered now: once for a data folder that has none."""
    if is_installed(home):
        return False
    try:
        (home / OFFERED).touch(mode=0o600, exist_ok=False)
    except OSError:
        return False
    return True


def unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A unit for `systemd --user`. Stopping it stops only the daemon: sandboxes continue."""
    # systemd allows no quotes in the name of the program itself, and expands no variable in it.
    words = [ENV, *(_quoted(word.replace("$", "$$")) for word in command)]
    lines = [
        "# Written by `rover service install`; `rover service uninstall` removes it.",
        "[Unit]",
        "Description=Rover: continue paused coding tasks",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(words)}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()),
        "WorkingDirectory=/",
        "UMask=0077",
        "Restart=on-failure",
        f"RestartSec={RESTART_SECONDS}",
        f"RestartPreventExitStatus={REFUSES_DATA_FOLDER}",
        "KillMode=process",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def plist(label: str, command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """The same for launchd."""
    return plistlib.dumps(
        {
            "Label": label,
            "ProgramArguments": list(command),
            "EnvironmentVariables": dict(environment),
            "WorkingDirectory": "/",
            "Umask": 0o077,
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_SECONDS,
            "AbandonProcessGroup": True,
            "ProcessType": "Background",
        }
    )


def _name(home: Path, environ: Mapping[str, str]) -> str:
    """The service's name, which is plain for the default data folder."""
    usual = data_folder({k: v for k, v in environ.items() if k != "ROVER_HOME"})
    if home == usual:
        return NAME
    return f"{NAME}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"


def _environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environ[name] for name in _KEPT if environ.get(name)}
    for name in (*_PROXIES, *(name.lower() for name in _PROXIES)):
        # The user's part of an address is a password, and this file is no place for one.
        if (value := environ.get(name)) and "@" not in value:
            kept[name] = value
    plain = {name: value for name, value in kept.items() if value.isprintable()}
    return {**importable(plain), "ROVER_HOME": str(home)}


def _quoted(word: str) -> str:
    """One word for systemd, in which nothing is expanded."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
