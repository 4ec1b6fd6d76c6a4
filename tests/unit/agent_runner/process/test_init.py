"""The first process of a container: passes signals on, reaps, ends as its child does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent_runner.process import init


def _init(*argv: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", init.__file__, *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137), ("exit 0", 0)])
def test_it_ends_as_its_child_does(script: str, code: int) -> None:
    with _init("sh", "-c", script) as process:
        assert process.wait(300) == code


def test_a_missing_program_is_reported() -> None:
    with _init("/nonexistent") as process:
        assert process.wait(300) == init.EXIT_CANNOT_RUN


def test_sigterm_reaches_the_child() -> None:
    """E1."""
    script = "trap 'exit 2' TERM; echo up; while :; do sleep 0.01; done"
    with _init("sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(300) == 2


def test_the_childs_signals_are_not_blocked() -> None:
    script = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    with _init(sys.executable, "-c", script) as process:
        assert process.communicate(timeout=300)[0] == "set()\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        ("low 0\nhigh 0\nmax 3\noom 3\noom_kill 12\noom_group_kill 0\n", True),
        ("oom_kill_disable 1\nunder_oom 1\noom_kill 0\n", False),
        ("oom_kill\n\n", False),
    ],
)
def test_a_kill_for_want_of_memory_is_read_from_either_version(text: str, told: bool) -> None:
    assert init.tells_of_a_kill(text) is told
