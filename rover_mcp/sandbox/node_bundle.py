"""Node and npm for the default image, made once per version beside the agents' programs.

No install script is run. The folder finds everything relative to itself.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rover_mcp.config import client_programs
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import agent_bundle, agent_programs, npm_install
from rover_mcp.sandbox.docker_images import Progress
from rover_mcp.sandbox.pinned_agents import NODE, NPM, npm_arch

INSIDE = "/opt/rover/node"
BIN = f"{INSIDE}/bin"
"""In the default image, and last on PATH in every one: an image's own Node goes before it."""

HINT = "install npm, and let it reach its registry"
_TIMEOUT = 300.0
_START = """\
#!/bin/sh
self=$(readlink -f -- "$0") && here=${{self%/bin/*}} || exit 127
exec "$here/bin/node" "$here/lib/node_modules/npm/bin/{program}-cli.js" "$@"
"""


def node_folder() -> Path:
    """Return where Node is on this host, or will be; its name holds the versions."""
    versions = "-".join(package.rpartition("@")[2] for package in (NODE, NPM))
    return agent_bundle.agent_cache() / f"node-{versions}-{npm_arch()}"


def obtain_node(progress: Progress) -> Path:
    """The folder, fetched with npm where it is not here yet.

    Raises:
        EnvironmentFault: "node_missing".
    """
    folder = node_folder()
    if folder.is_dir():
        return folder
    if not client_programs.find("npm"):
        raise _missing("npm, which would fetch it, is not here")
    try:
        with agent_programs.bundle_lock("node"):
            if not folder.is_dir():
                progress("fetching Node with npm (130 MB, once)")
                _fetch(folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(str(error)) from error
    return folder


def _fetch(folder: Path) -> None:
    with agent_programs.new_folder("node") as new:
        packages = [NODE.replace("{arch}", npm_arch()), NPM]
        try:
            # Without a network a task is not to wait for what it may not need.
            npm_install.install(new, packages, _TIMEOUT, "--fetch-retries=0")
        except npm_install.NpmFailed as error:
            raise _missing(f"npm: {error.failure.cause}", error.failure.hint) from error
        arrange(new)
        agent_programs.place(new, folder)


def arrange(new: Path) -> None:
    """What npm installed becomes bin/ and lib/, without what only compilers of addons read."""
    modules = new / "node_modules"
    package = modules / f"node-linux-{npm_arch()}"
    (new / "bin").mkdir()
    (package / "bin" / "node").rename(new / "bin" / "node")
    (new / "bin" / "node").chmod(0o755)
    (package / "LICENSE").rename(new / "LICENSE")
    (new / "lib" / "node_modules").mkdir(parents=True)
    (modules / "npm").rename(new / "lib" / "node_modules" / "npm")
    shutil.rmtree(modules)
    for leftover in ("package.json", "package-lock.json"):
        (new / leftover).unlink(missing_ok=True)
    for program in ("npm", "npx"):
        script = new / "bin" / program
        script.write_text(_START.format(program=program), "utf-8")
        script.chmod(0o755)


def _missing(why: str, hint: str = "") -> EnvironmentFault:
    return EnvironmentFault(
        f"Node cannot be fetched: {why}", hint=hint or HINT, code="node_missing"
    )
