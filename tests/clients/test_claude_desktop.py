"""Claude Code imports the servers of Claude Desktop, by the same maker, from the file that
`rover setup` writes for it.

It does so on a Mac and in WSL only: here it runs in a mount namespace that looks like WSL, where
the folder of that file is the one that a Claude Desktop on Windows has.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.clients.programs import bare_environment, ran, set_up
from tests.support.hangs import HANG_SECONDS
from tests.support.real_claude import claude_binary

pytestmark = pytest.mark.real_agent

KERNEL = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@wsl) (gcc) #1 SMP\n"
ON_WINDOWS = "/mnt/c/Users/ann/AppData/Roaming/Claude"
DOWN, ENTER = b"\x1b[B", b"\r"


class Screen:
    """A terminal in which a program runs."""

    def __init__(self, argv: list[str | Path], environ: dict[str, str], cwd: Path) -> None:
        self._ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.process = subprocess.Popen(
            argv, env=environ, cwd=cwd, start_new_session=True,
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)

    def shows(self, pattern: str) -> None:
        """Wait until what is drawn from now on, without colours and spaces, matches."""
        drawn, end = b"", time.monotonic() + HANG_SECONDS
        while not re.search(pattern, text := plain(drawn)):
            left = max(0.0, end - time.monotonic())
            assert select.select([self._ours], [], [], left)[0], text
            try:
                drawn += os.read(self._ours, 65536)
            except OSError:  # nobody has the other end any more
                raise AssertionError(f"it ended: {text}") from None

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def plain(drawn: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", drawn.decode("utf-8", "replace"))


def like_wsl(folder: Path, kernel: Path) -> list[str | Path]:
    """What runs a program so that `folder` is Claude Desktop's."""
    places = ("--tmpfs", "/mnt", "--bind", folder, ON_WINDOWS)
    return ["bwrap", "--dev-bind", "/", "/", *places, "--ro-bind", kernel, "/proc/version"]


def test_claude_code_imports_it_and_connects(shared: Path, tmp_path: Path) -> None:
    user, kernel = tmp_path / "user", tmp_path / "version"
    user.mkdir()
    kernel.write_text(KERNEL, "utf-8")
    environ = bare_environment(user) | {"DISABLE_AUTOUPDATER": "1", "TERM": "xterm"}
    file = set_up("claude-desktop", shared / "data", user)
    claude = [claude_binary(), "mcp"]
    importing = [*claude, "add-from-claude-desktop", "--scope", "user"]
    screen = Screen([*like_wsl(file.parent, kernel), *importing], environ, user)
    try:
        screen.shows("Found1MCPserver.*✔rover.*Importselected")
        screen.press(DOWN)
        # It draws the line anew, or the pointer alone.
        screen.shows("❯(?!✔rover)")
        screen.press(ENTER)
        screen.shows("Imported1MCPserver")
        assert screen.process.wait(HANG_SECONDS) == 0
    finally:
        screen.close()
    assert "✔ Connected" in ran([*claude, "list"], environ, user).stdout
