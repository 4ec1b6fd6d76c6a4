"""How a command ended, and who ended it (U9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from agent_runner.process import forward, init
from agent_runner.process.command_ending import CommandEnding, killed, oom_kills, read_report
from agent_runner.process.commands import CommandKilled, check_not_killed
from agent_runner.process.memory import Memory, MemoryKills
from agent_runner.process.spawn import make_commands
from agent_runner.spec import WrapCommand
from tests.unit.agent_runner.conftest import make_spec

OWN = "the command's own"


@pytest.mark.parametrize(
    ("ending", "sandboxed", "words"),
    [
        (CommandEnding(0), True, OWN),
        (CommandEnding(1), True, OWN),
        (CommandEnding(-signal.SIGSEGV), True, OWN),
        (CommandEnding(-signal.SIGABRT), True, OWN),
        (CommandEnding(-signal.SIGKILL), True, "SIGKILL"),
        (CommandEnding(-signal.SIGTERM), True, "SIGTERM"),
        (CommandEnding(-signal.SIGHUP), False, "SIGHUP"),
        (CommandEnding(-signal.SIGINT), False, "SIGINT"),
        # A shell whose last command was killed; not where there is no sandbox around it.
        (CommandEnding(137), True, "something in it was killed"),
        (CommandEnding(137), False, OWN),
        # What `kill $server; wait $server` ends with.
        (CommandEnding(143), True, OWN),
        (CommandEnding(139), True, OWN),
        # bubblewrap's status, in which a signal looks like that.
        (CommandEnding(143, exact=False), True, "SIGTERM"),
        (CommandEnding(137, exact=False), True, "SIGKILL"),
        (CommandEnding(139, exact=False), True, OWN),
        (CommandEnding(0, lost=True), True, "ended before the command did"),
        (CommandEnding(137, lost=True), True, "ended before the command did"),
        (CommandEnding(2, oom=True), True, "ran out of memory"),
        (CommandEnding(-signal.SIGKILL, oom=True), True, "ran out of memory"),
        (CommandEnding(0, oom=True), True, OWN),
    ],
)
def test_who_ended_a_command(ending: CommandEnding, sandboxed: bool, words: str) -> None:
    said = killed(ending, sandboxed=sandboxed)
    assert (words in said) if words != OWN else said == ""


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"0\n", 0), (b"-9\n", -9), (b"3\nmore", 3), (b"13", None), (b"", None), (b"x\n", None)],
)
def test_half_a_report_is_none(data: bytes, code: int | None) -> None:
    assert read_report(data) == code


def test_kills_for_want_of_memory_are_counted_in_every_form() -> None:
    texts = ["low 0\noom_kill 2\n", "oom_kill_disable 0\noom_kill 1\n", "oom_kill x\n", ""]
    assert oom_kills(texts) == 3


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("memory.max", "402653184\n", "its sandbox may use 384 MiB (limits.memory in"),
        ("memory.limit_in_bytes", "9223372036854771712\n", "its sandbox has no limit of its own"),
        ("memory.max", "max\n", "its sandbox has no limit of its own"),
    ],
)
def test_want_of_memory_is_named_with_the_limit_and_what_raises_it(
    tmp_path: Path, file: str, text: str, words: str
) -> None:
    """U9, L1."""
    (tmp_path / file).write_text(text)
    counts = tmp_path / "memory.events"
    counts.write_text("oom_kill 0\n")
    memory = Memory([tmp_path])
    before = memory.kills()
    assert memory.why(CommandEnding(2), before, sandboxed=True) == ""
    counts.write_text("oom_kill 1\n")
    said = memory.why(CommandEnding(2), before, sandboxed=True)
    assert "ran out of memory" in said
    assert words in said


def test_lack_of_memory_on_the_machine_is_named_as_a_possible_reason(tmp_path: Path) -> None:
    before = MemoryKills(sandbox=0, machine=-1)
    said = Memory([tmp_path]).why(CommandEnding(-signal.SIGKILL), before, sandboxed=True)
    assert "the machine ran out of memory meanwhile" in said


@pytest.mark.parametrize(
    ("script", "report", "status"),
    [
        ("exit 3", b"3\n", 3),
        ("exit 137", b"137\n", 137),
        ("kill -KILL $$", b"-9\n", 137),
        ("kill -TERM $$", b"-15\n", 143),
    ],
)
@pytest.mark.parametrize("forwarded", [True, False])
def test_the_first_process_tells_a_signal_from_a_status(
    tmp_path: Path, script: str, report: bytes, status: int, forwarded: bool
) -> None:
    """U9: also through the forwarder."""
    reading, writing = os.pipe()
    python = [sys.executable, "-I", "-S"]
    between = [*python, forward.__file__, str(tmp_path / "none"), "0", "--", forward.SAME_END]
    command = [*(between if forwarded else ()), "sh", "-c", script]
    argv = [*python, init.__file__, "--report", str(writing), *command]
    with subprocess.Popen(argv, pass_fds=[writing]) as process:
        os.close(writing)
        assert process.wait(300) == status
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == report


def test_a_command_cannot_write_its_own_report() -> None:
    """U9: neither through a descriptor that it inherited, nor through /proc."""
    reading, writing = os.pipe()
    script = (
        f"(echo 0 >&{writing}) 2>/dev/null; (echo 0 > /proc/$PPID/fd/{writing}) 2>/dev/null; exit 7"
    )
    argv = [sys.executable, "-I", "-S", init.__file__, "--report", str(writing)]
    # Root may open anything in /proc: what runs in a sandbox has no capability.
    argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=12345", *argv]
    with subprocess.Popen([*argv, "sh", "-c", script], pass_fds=[writing]) as process:
        os.close(writing)
        assert process.wait(300) == 7
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"7\n"


@pytest.mark.parametrize("interactive", [True, False])
def test_an_end_without_a_report_is_not_the_commands_own(tmp_path: Path, interactive: bool) -> None:
    """U9: what wraps the command ended with a status of its own, as bwrap does where the kernel
    refuses a namespace."""
    silent = ["/bin/sh", "-c", "echo no namespaces left >&2; exit 1", "sh"]
    spec = make_spec(tmp_path, WrapCommand(prefix=silent, forwarder=[], init=["init"]))

    async def work() -> None:
        commands = make_commands(spec)
        if interactive:
            async with commands.open(["true"]) as running:
                await running.wait()
                assert "ended before the command did" in running.killed()
            return
        result = await commands.run(["true"], network=True)
        assert result.killed.endswith("ended before the command did: no namespaces left")
        with pytest.raises(CommandKilled):
            check_not_killed(result)

    anyio.run(work)
