"""Sessions of people at a terminal: bash in tmux, the real `rover`, and a page of what they saw."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.terminal import Terminal
from tests.e2e.processes import wait_until

SIZE = (110, 1_500)
"""Lines enough that nothing scrolls away."""
PROMPT = "$ "

# Words that differ from run to run, and what stands for them.
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{32}\b"), "ID"),
    (
        re.compile(r"(?<![0-9a-f])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7,12}(?![0-9a-f])"),
        "ID",
    ),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?(?:\.\d+)?)?"), "DATE"),
    (re.compile(r"(?<!:)\b\d{2}:\d{2}(?::\d{2})?Z?\b(?!:)"), "TIME"),
    (
        re.compile(r"\b\d+(?:\.\d+)? (?:ms|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?|\b\d+\.\d+s\b"),
        "TIME",
    ),
    (re.compile(r"\b\d+(?:\.\d+)? (?:B|kB|KB|MB|GB|KiB|MiB|GiB|TiB|TB)\b"), "SIZE"),
    # Ids that happen to have only digits or only letters; what has another meaning is named above.
    (re.compile(r"(?<![\w.,])(?:\d{7,12}|[a-f]{7,12})(?![\w,]|\.\d)"), "ID"),
    (re.compile(r"\bprocess \d+"), "process PID"),
    (re.compile(r"rover-demo-\w+"), "rover-demo"),
    (re.compile(r"\bTIME(?: ago)? ago\b"), "TIME ago"),
)


@dataclass(frozen=True)
class Step:
    """A line that somebody types; `sees` stands on the screen after it, `status` is how it ended;
    `says` is what the page says before it."""

    line: str
    sees: tuple[str, ...] = ()
    status: int | None = 0
    says: str = ""


@dataclass(frozen=True)
class TerminalStep:
    """A step, and what the terminal showed after it."""

    step: Step
    screen: str


class Shell:
    """One person's terminal. A step ends when the prompt is back."""

    def __init__(self, folder: Path, environ: Mapping[str, str], cwd: Path) -> None:
        folder.mkdir(parents=True)
        self._done = folder / "done"
        self._done.touch()
        variables = {**environ, "PS1": PROMPT, "PROMPT_COMMAND": f"echo $? >> {self._done}"}
        argv = ["bash", "--norc", "--noprofile", "-i"]
        self._terminal = Terminal(folder, argv, variables, cwd, SIZE)

    def play(
        self, steps: Sequence[Step], before_each: Callable[[Step], None] = lambda _: None
    ) -> list[TerminalStep]:
        """Type each line, wait until it has ended, and look."""
        seen: list[TerminalStep] = []
        with self._terminal as terminal:
            wait_until(lambda: self._screen() == PROMPT.strip(), "the first prompt")
            for step in steps:
                before_each(step)
                before, ended = self._screen(), len(self._statuses())
                terminal.type(step.line)
                terminal.press("Enter")
                wait_until(lambda ended=ended: len(self._statuses()) > ended, f"{step.line} ends")
                wait_until(lambda: self._screen().endswith(f"\n{PROMPT.strip()}"), "a prompt")
                seen.append(TerminalStep(step, self._new(before)))
                self._check(seen[-1])
            return seen

    def _new(self, before: str) -> str:
        """The line that was typed, and what came after it."""
        after = self._screen().removesuffix(PROMPT.strip()).splitlines()
        return "\n".join(after[len(before.splitlines()) - 1 :])

    def _check(self, seen: TerminalStep) -> None:
        flat = " ".join(seen.screen.split())
        for text in seen.step.sees:
            assert text in flat, f"{seen.step.line}: no {text!r} in:\n{seen.screen}"
        status = int(self._statuses()[-1])
        wanted = seen.step.status
        assert wanted in (None, status), f"{seen.step.line}: {status}\n{seen.screen}"

    def _screen(self) -> str:
        return self._terminal.screen().rstrip()

    def _statuses(self) -> list[str]:
        return self._done.read_text().split()


def normal(text: str, places: Mapping[str, str]) -> str:
    """A screen with names for what differs from run to run. `places` are folders and their names."""
    for place, name in places.items():
        text = text.replace(place, name)
    for changing, name in _CHANGING:
        text = changing.sub(name, text)
    return "\n".join(line.rstrip() for line in text.splitlines())
