"""Daemons that tests started and did not end: a user's stays for a quarter of an hour."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LeftoverDaemon:
    """A daemon's process, its data folder and the test that was running when it began."""

    pid: int
    home: Path
    test: str

    def is_kept(self) -> bool:
        """Whether a configuration says how long it stays: that of a stage that several modules
        share, which ends its daemon itself."""
        with suppress(OSError):
            return "idle_exit" in (self.home / "config.yaml").read_text()
        return False

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def strays(folder: Path, module: str = "") -> Iterator[LeftoverDaemon]:
    """The daemons whose data folder lies in `folder`, and those that a test of `module` started:
    of every module, but of this session only, where none is named."""
    parent = os.getpid()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            if b"\0rover_mcp.daemon\0" not in (process / "cmdline").read_bytes():
                continue
            told = (process / "environ").read_bytes().decode(errors="replace").split("\0")
            environment = dict(line.split("=", 1) for line in told if "=" in line)
            home = Path(environment.get("ROVER_HOME", "/"))
            test = environment.get("PYTEST_CURRENT_TEST", "")
            of_session = environment.get("ROVER_TESTS") == str(parent)
            if home.is_relative_to(folder) or (of_session and test.startswith(module)):
                yield LeftoverDaemon(int(process.name), home, test)
