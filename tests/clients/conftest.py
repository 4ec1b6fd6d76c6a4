"""A user's home folder in which the real clients are installed, and one daemon for them all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.sandbox import agent_programs
from tests.clients.programs import BIN, ran
from tests.e2e.conftest import end_daemon
from tests.protocol.conftest import docker_host, engine_for_daemons, home, repository, shared
from tests.support.real_claude import claude_binary

__all__ = ["docker_host", "engine_for_daemons", "home", "repository", "shared"]

PROGRAMS = ("codex", "gemini", "opencode", "qwen", "copilot")


@dataclass(frozen=True)
class ClientMachine:
    """`home` is the user's; `data` is Rover's data folder."""

    home: Path
    data: Path
    path: str

    def run(self, *argv: str, status: int = 0, **variables: str) -> str:
        """What a program says, as this user would see it, with nothing on its stdin."""
        environ = {
            "HOME": str(self.home), "PATH": self.path, "ROVER_HOME": str(self.data),
            "DISABLE_AUTOUPDATER": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "GEMINI_CLI_TRUST_WORKSPACE": "true", "NO_COLOR": "1", **variables,
        }  # fmt: skip
        done = ran(argv, environ, self.home, status)
        return done.stdout + done.stderr


@pytest.fixture
def desk() -> Iterator[ClientMachine]:
    folder = Path(tempfile.mkdtemp(prefix="rover-clients-"))
    (folder / "home").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "claude").symlink_to(claude_binary())
    found = [agent_programs.obtain(name, None, print).folder / "bin" for name in PROGRAMS]
    path = ":".join(map(str, (BIN, folder / "bin", *found, "/usr/bin", "/bin")))
    yield ClientMachine(folder / "home", folder / "data", path)
    end_daemon(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)
