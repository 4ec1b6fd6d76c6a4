"""Node and npm for the default image, made once per version beside the agents' programs.

No install script is run. The folder finds everything relative to itself.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox import bundles
from rover_mcp.sandbox.agent_table import NODE, NPM, npm_arch
from rover_mcp.sandbox.docker_images import Progress

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
    """Where it is on this host, or will be: the name tells the content."""
    versions = "-".join(package.rpartition("@")[2] for package in (NODE, NPM))
    return bundles.agent_cache() / f"node-{versions}-{npm_arch()}"


def obtain_node(progress: Progress) -> Path:
    """The folder, fetched with npm where it is not here yet.

    Raises:
        EnvironmentFault: "node_missing".
    """
    folder = node_folder()
    if folder.is_dir():
        return folder
    if not shutil.which("npm"):
        raise _missing("npm, which would fetch it, is not here")
    try:
        with bundles.making("node"):
            if not folder.is_dir():
                progress("fetching Node with npm (130 MB, once)")
                _fetch(folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(str(error)) from error
    return folder


def _fetch(folder: Path) -> None:
    with bundles.new_folder("node") as new:
        argv = ["npm", "install", "--prefix", str(new), "--no-save", "--ignore-scripts"]
        # Without a network a task is not to wait for what it may not need.
        argv += ["--no-audit", "--no-fund", "--force", "--fetch-retries=0"]
        packages = [NODE.replace("{arch}", npm_arch()), NPM]
        done = subprocess.run(
            [*argv, *packages], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            text = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise _missing("npm: " + (text[-1][:200] if text else "failed"))
        arrange(new)
        bundles.place(new, folder)


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


def _missing(why: str) -> EnvironmentFault:
    return EnvironmentFault(f"Node cannot be fetched: {why}", hint=HINT, code="node_missing")
