"""A program in a terminal that a test types into and reads: tmux, with a server of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.processes import wait_until
from tests.support.hangs import HANG_SECONDS

COLUMNS, LINES = 170, 50
KEY_SECONDS = (10, 20, 40, 80, 160)
"""Seconds to wait for a key's effect before it is pressed again."""


class Terminal:
    """Runs `argv` until the block ends, or it ends by itself. `environ` is all that it gets."""

    def __init__(
        self,
        folder: Path,
        argv: Sequence[str | Path],
        environ: Mapping[str, str],
        cwd: Path,
        size: tuple[int, int] = (COLUMNS, LINES),
    ) -> None:
        self._size = size
        self._socket = folder / "tmux"
        self._start = folder / "start.json"
        self._argv = [str(word) for word in argv]
        self._environ = dict(environ) | {"TERM": "xterm-256color"}
        self._cwd = cwd

    def __enter__(self) -> Self:
        variables = [f"{k}={v}" for k, v in self._environ.items()]
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(self._size[0]), "-y", str(self._size[1]),
            "-c", str(self._cwd), "--", "env", "-i", *variables, *self._argv,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None and self.running():
            error.add_note(self.screen())
        self._tmux("kill-server", check=False)

    def running(self) -> bool:
        return self._tmux("has-session", check=False).returncode == 0

    def screen(self) -> str:
        """What is seen now."""
        return self._tmux("capture-pane", "-p").stdout

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Keys by their names in tmux, for example Enter, Escape, Down."""
        self._tmux("send-keys", *keys)

    def press_until(self, key: str, true: Callable[[], object]) -> int:
        """A key, again where it was not taken: a dialog takes none in its first moments. A program
        that is only slow takes each of them; the result is how often it was pressed."""
        for pressed, seconds in enumerate(KEY_SECONDS, 1):
            self.press(key)
            with suppress(AssertionError):
                wait_until(true, f"{key} was taken", seconds)
                return pressed
        raise AssertionError(f"{key} was not taken")

    def say(self, text: str) -> None:
        """A line at the prompt."""
        self.type(text)
        self.wait_for(text)
        self.press("Enter")

    def wait_for(self, text: str, timeout: float = HANG_SECONDS) -> str:
        """The screen, once `text` is on it."""
        seen = ""

        def there() -> bool:
            nonlocal seen
            seen = self.screen()
            return text in " ".join(seen.split())

        wait_until(there, f"{text!r} on the screen", timeout)
        return seen

    def whole(self, text: str) -> str:
        """The screen, once `text` is on it and it no longer changes: a program draws in parts."""
        before = ""

        def rests() -> bool:
            nonlocal before
            last, before = before, self.screen()
            return text in before and before == last

        wait_until(rests, f"{text!r} on a screen that rests", HANG_SECONDS)
        return before

    def wait_for_end(self, timeout: float = HANG_SECONDS) -> None:
        wait_until(lambda: not self.running(), "the program has ended", timeout)

    def _tmux(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tmux", "-S", self._socket, *words], capture_output=True, text=True, check=check,
            timeout=HANG_SECONDS,
        )  # fmt: skip
