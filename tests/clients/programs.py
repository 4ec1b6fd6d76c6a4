"""Where the clients' programs are; each is fetched once, in the version that is named here.

Claude Code, Codex, Gemini CLI and opencode are the programs that Rover itself runs as agents
(rover_mcp/sandbox/agent_programs.py), found in the same cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rover_mcp.domain.task_status import Event
from rover_mcp.sandbox import agent_programs
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.store import Store
from tests.conformance.suite import node
from tests.support.docker_env import cache_folder
from tests.support.fetched import made_once, npm_modules, run
from tests.support.hangs import HANG_SECONDS
from tests.support.samples import new_task, pause

INSPECTOR = "@modelcontextprotocol/inspector"
INSPECTOR_VERSION = "2.12.0"
MCPORTER_VERSION = "0.12.3"
BIN = Path(sys.prefix) / "bin"
"""Where `rover` and `rover-mcp` are."""
LOCK = Path(__file__).parents[2] / "requirements.lock"
FASTMCP_LOCK = Path(__file__).with_name("fastmcp.lock")


def launcher(home: Path) -> list[str]:
    """The server that a client starts."""
    return [sys.executable, "-m", "rover_mcp.launcher.main", "--home", str(home)]


def bare_environment(user: Path) -> dict[str, str]:
    """That of a user who has no keys, and whose HOME is `user`."""
    secret = ("ANTHROPIC", "CLAUDE", "CODEX", "GEMINI", "GOOGLE", "OPENAI", "OPENCODE", "XDG_")
    return {k: v for k, v in os.environ.items() if not k.startswith(secret)} | {"HOME": str(user)}


def ran(
    argv: Sequence[str | Path], environ: Mapping[str, str], cwd: Path, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """One run of a client without a terminal, which has to end with `status`."""
    done = subprocess.run(
        argv, env=environ, cwd=cwd, capture_output=True, text=True, timeout=HANG_SECONDS, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done


def set_up(client: str, data: Path, user: Path) -> Path:
    """The file that `rover setup` makes for a user who has none, with `data` as the data folder."""
    setup = [BIN / "rover", "setup", "--json", "--write", "--home", data, client]
    said = json.loads(ran(setup, bare_environment(user), user).stdout)
    return Path(said["clients"][0]["file"])


def paused_task(data: Path) -> None:
    """A data folder with one task, number 1 of /repo, which stands still for want of credits."""
    data.mkdir()
    store = Store(open_database(database_url(data)))
    store.projects.register("p1", "/repo")
    task, _ = store.tasks.create(new_task(), frozenset())
    told, details = pause(), {"reason": "credits"}
    store.transitions.apply(
        task.id, Event.PAUSE, pause=told, data=details, unstarted=True, attempt=1
    )


def agent_program(name: str) -> Path:
    """`codex`, `gemini` or `opencode`, in the version that is pinned for tasks.

    Raises:
        EnvironmentFault: it is not cached, and npm does not give it.
    """
    return agent_programs.obtain(name, None, print).folder / "bin" / name


def inspector() -> list[str | Path]:
    """The MCP Inspector on the command line; needs Node 22 or later."""
    package = f"{INSPECTOR}@{INSPECTOR_VERSION}"
    modules = npm_modules(f"inspector-{INSPECTOR_VERSION}", package)
    return [node(), modules / INSPECTOR / "clients" / "launcher" / "build" / "index.js", "--cli"]


def dependency_wheels() -> Path:
    """A folder with a wheel of each package that Rover needs, in the versions of its lock."""
    folder = _locked_folder("wheels", LOCK)
    with made_once(folder) as missing:
        if missing:
            run(sys.executable, "-m", "venv", folder / "venv")
            fetch = (folder / "venv" / "bin" / "python", "-m", "pip", "download", "--quiet")
            run(*fetch, "--no-deps", "--require-hashes", "-r", LOCK, "-d", folder)
            shutil.rmtree(folder / "venv")
    return folder


def mcporter() -> list[str | Path]:
    """mcporter on the command line; needs Node 24 or later."""
    modules = npm_modules(f"mcporter-{MCPORTER_VERSION}", f"mcporter@{MCPORTER_VERSION}")
    return [node(), modules / "mcporter" / "dist" / "cli.js"]


def fastmcp_python() -> Path:
    """A Python that has `fastmcp[tasks]`, in an environment of its own: forty packages that
    neither Rover nor any other test needs."""
    folder = _locked_folder("fastmcp", FASTMCP_LOCK)
    python = folder / "bin" / "python"
    with made_once(folder) as missing:
        if missing:
            run(sys.executable, "-m", "venv", folder)
            # The lock has all of them; what pip makes of an extra's requirements has no hash.
            install = (python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes")
            run(*install, "-r", FASTMCP_LOCK)
    return python


def _locked_folder(name: str, lock: Path) -> Path:
    """The place in the cache of what a lock names, another for another lock or Python."""
    content = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_folder() / f"{name}-{content}-py{version}"
