"""The tool of MCP bundles from npm, in a pinned version."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.docker_env import cache_folder
from tests.support.hangs import HANG_SECONDS

PACKAGE = "@anthropic-ai/mcpb"
VERSION = "2.1.2"
_RESOLVE = """
import {{ getMcpConfigForManifest }} from {module};
const options = JSON.parse(process.argv[1]);
console.log(JSON.stringify(await getMcpConfigForManifest(options)));
"""


def mcpb(*arguments: str) -> str:
    """What the tool says.

    Raises:
        subprocess.CalledProcessError: it ends with an error.
    """
    command = ["node", str(_installed() / "dist" / "cli" / "cli.js"), *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
        stdin=subprocess.DEVNULL,
    ).stdout


def resolved(manifest: dict[str, Any], folder: Path, given: dict[str, str]) -> dict[str, Any]:
    """The command that a client makes of a manifest, by the tool's own function."""
    options = {
        "manifest": manifest, "extensionPath": str(folder), "systemDirs": {},
        "userConfig": given, "pathSeparator": "/",
    }  # fmt: skip
    module = json.dumps((_installed() / "dist" / "node.js").as_uri())
    program = _RESOLVE.format(module=module)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program, json.dumps(options)],
        capture_output=True, text=True, check=True, timeout=HANG_SECONDS,
    )  # fmt: skip
    return json.loads(done.stdout)


def _installed() -> Path:
    """Its folder; fetched from npm at first."""
    folder = cache_folder() / f"mcpb-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / "node_modules" / PACKAGE
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".done").exists():
            npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            subprocess.run([*npm, f"{PACKAGE}@{VERSION}"], check=True, capture_output=True)
            (folder / ".done").touch()
    return package
