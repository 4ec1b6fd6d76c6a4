"""Process control of the runner: environment, output, stopping."""

# ruff: noqa: ASYNC110, ASYNC240 - nothing else runs on these loops; what is polled is bounded
from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from agent_runner.process.commands import OutputLine
from agent_runner.process.process_tree import LineSplitter, Tail
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunLimits, RunSpec, WrapCommand
from tests.e2e.processes import wait_until
from tests.unit.agent_runner.conftest import in_own_thread, make_spec, worker_uid

# Forks twice into a session of its own, ignores SIGTERM, and says its number.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(300)
    os._exit(0)
time.sleep({rest})
"""


def stubborn(*, rest: float) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", STUBBORN.format(rest=rest)]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def assert_ended(pid: int) -> None:
    """It was killed; on a busy machine the kernel takes a moment to end it. By itself it would live
    for minutes."""
    wait_until(lambda: not alive(pid), "it has ended", 60)


def test_a_command_gets_an_environment_built_from_nothing(bare: RunSpec) -> None:
    """The runner's own environment reaches no command."""
    os.environ["RUNNER_SECRET"] = "s3cret"
    try:
        result = anyio.run(lambda: make_commands(bare).run(["env"], env={"MORE": "1"}))
    finally:
        del os.environ["RUNNER_SECRET"]
    seen = dict(line.split("=", 1) for line in result.stdout.decode().splitlines())
    assert seen == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(bare.paths.home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "TMPDIR": "/tmp",
        "USER": "agent",
        "FROM_SPEC": "yes",
        "MORE": "1",
        "ROVER_ATTEMPT": f"{bare.task_id}-3-1",
    }


def test_exit_status_both_streams_and_input_arrive(bare: RunSpec) -> None:
    """G1: stdout, stderr and the exit status of a command, told apart."""
    script = "cat; echo oops >&2; exit 3"
    stdin = b"x" * 300_000
    result = anyio.run(
        lambda: make_commands(bare).run(["sh", "-c", script], stdin=stdin, output_limit=400_000)
    )
    assert (result.code, result.stdout, result.stderr) == (3, stdin, b"oops\n")


def test_without_input_a_command_reads_nothing(bare: RunSpec) -> None:
    """Standard input is /dev/null."""
    result = anyio.run(lambda: make_commands(bare).run(["cat"]))
    assert (result.code, result.stdout) == (0, b"")


def test_output_beyond_the_cap_keeps_its_tail(bare: RunSpec) -> None:
    """G1: output is capped, tail kept; and every line still reaches the log."""
    lines: list[OutputLine] = []
    result = anyio.run(
        lambda: make_commands(bare).run(["seq", "50000"], output_limit=1000, on_output=lines.append)
    )
    assert len(result.stdout) == 1000
    assert result.stdout.endswith(b"49999\n50000\n")
    assert [line.text for line in lines[:2]] == ["1", "2"]
    assert len(lines) == 50000


def test_output_can_go_to_a_file(bare: RunSpec, tmp_path: Path) -> None:
    """A bundle does not pass through memory."""
    with (tmp_path / "out").open("wb") as stream:
        result = anyio.run(
            lambda: make_commands(bare).run(["echo", "hi"], stdout_file=stream.fileno())
        )
    assert (tmp_path / "out").read_bytes() == b"hi\n"
    assert result.stdout == b""


def test_a_long_line_is_cut_and_bad_utf8_is_replaced() -> None:
    """Contract of RunningCommand.lines."""
    splitter = LineSplitter(limit=4)
    assert list(splitter.feed(b"ab")) == []
    assert list(splitter.feed(b"cdef")) == []
    assert list(splitter.feed(b"gh\n\xff\r\nx")) == ["abcd", "\ufffd"]
    assert list(splitter.end()) == ["x"]
    assert list(splitter.end()) == []


def test_a_tail_keeps_the_last_bytes() -> None:
    tail = Tail(3)
    for byte in b"abcdefghij":
        tail.add(bytes([byte]))
    assert tail.value() == b"hij"


def test_a_time_out_stops_the_tree_and_keeps_the_output(bare: RunSpec) -> None:
    """D4, G1: told by timed_out, and the output so far is kept. On a busy machine, the shell needs
    seconds to say something, and a moment to end before it would be killed."""
    spec = bare.model_copy(update={"limits": RunLimits(stop_grace=300)})
    result = anyio.run(
        lambda: make_commands(spec).run(["sh", "-c", "echo begun; sleep 300 & wait"], timeout=10)
    )
    assert result.timed_out
    assert result.code == -signal.SIGTERM
    assert result.stdout == b"begun\n"


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def _first_number(running) -> int:
    async for line in running.lines():
        return int(line.text)
    raise AssertionError("it said nothing")


def test_stop_ends_a_tree_that_hides_and_ignores_sigterm(bare: RunSpec) -> None:
    """SIGTERM, grace, SIGKILL to the group, sweep by marker."""

    async def work() -> None:
        async with make_commands(bare).open(stubborn(rest=300)) as running:
            hidden = await _first_number(running)
            assert alive(hidden)
            await running.stop()
            assert_ended(hidden)
            assert await running.wait() == -signal.SIGKILL
            await running.stop()

    anyio.run(work)


def test_what_a_command_leaves_behind_ends_with_it(bare: RunSpec) -> None:
    """A command that ended is over: its lines end although a child held the pipe."""

    async def work() -> None:
        result = await make_commands(bare).run(stubborn(rest=0.05))
        assert result.code == 0
        assert_ended(int(result.stdout))

    anyio.run(work)


def test_cancellation_stops_the_tree(bare: RunSpec) -> None:
    """E1: a cancelled step leaves no agent behind."""
    seen: list[int] = []

    async def work() -> None:
        with anyio.CancelScope() as scope:
            async with make_commands(bare).open(stubborn(rest=300)) as running:
                async for line in running.lines():
                    seen.append(int(line.text))
                    scope.cancel()
        assert scope.cancelled_caught

    anyio.run(work)
    assert_ended(seen[0])


def test_an_error_in_the_body_comes_out_as_it_is(bare: RunSpec) -> None:
    async def work() -> None:
        async with make_commands(bare).open(["sleep", "300"]):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        anyio.run(work)


def test_commands_leak_no_descriptors(bare: RunSpec) -> None:
    """Nothing grows with the number of commands."""

    async def work() -> None:
        commands = make_commands(bare)
        await commands.run(["true"])
        before = open_descriptors()
        for _ in range(5):
            await commands.run(["true"], stdin=b"x")
            async with commands.open(["true"]) as running:
                assert await running.wait() == 0
        assert open_descriptors() == before

    anyio.run(work)


def test_a_wrapped_agent_gets_the_forwarder_and_a_command_does_not(tmp_path: Path) -> None:
    """Only an agent reaches the gateway's port."""
    spec = make_spec(tmp_path, WrapCommand(prefix=["/bin/echo", "prefix"], forwarder=["forward"]))

    async def work() -> None:
        commands = make_commands(spec)
        assert (await commands.run(["a", "b"])).stdout == b"prefix a b\n"
        async with commands.open(["a", "b"]) as running:
            assert [line.text async for line in running.lines()] == ["prefix forward a b"]

    anyio.run(work)


@pytest.mark.parametrize("offered", [True, False])
def test_agents_and_steps_get_the_proxy_where_the_policy_offers_one(
    tmp_path: Path, offered: bool
) -> None:
    """Contract with curl, git, pip, npm: both spellings. Rover's own git commands need none, and
    do not pay for a forwarder."""
    spec = make_spec(tmp_path, WrapCommand(prefix=["/usr/bin/env"], forwarder=["FORWARDED=1"]))
    gateway = spec.gateway.model_copy(update={"proxy": offered, "port": 8377})
    commands = make_commands(spec.model_copy(update={"gateway": gateway}))

    async def environment(*, network: bool) -> dict[str, str]:
        told = (await commands.run(["env"], network=network)).stdout.decode()
        return dict(line.split("=", 1) for line in told.splitlines())

    async def work() -> None:
        own = await environment(network=False)
        assert not [name for name in own if "PROXY" in name.upper() or name == "FORWARDED"]
        step = await environment(network=True)
        assert ("FORWARDED" in step) is offered
        found = {name: value for name, value in step.items() if "PROXY" in name.upper()}
        url = "http://rover:token@127.0.0.1:8377"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        here = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        assert found == ({**dict.fromkeys(names, url), **here} if offered else {})
        async with commands.open(["env"]) as agent:
            lines = [line.text async for line in agent.lines()]
        assert (f"https_proxy={url}" in lines) is offered
        assert "FORWARDED=1" in lines

    anyio.run(work)


def test_a_missing_program_is_an_error_that_names_it(switched: RunSpec) -> None:
    """M1."""

    async def work() -> None:
        with pytest.raises(FileNotFoundError, match="no-such-program"):
            await make_commands(switched).run(["no-such-program"])

    in_own_thread(work)


def test_a_switched_command_has_no_rights_and_cannot_get_any(switched: RunSpec) -> None:
    """Not root, no capabilities, no-new-privileges, no extra groups."""

    async def work() -> None:
        status = (await make_commands(switched).run(["cat", "/proc/self/status"])).stdout.decode()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert fields["Uid"].split() == [str(worker_uid())] * 4
        assert fields["Gid"].split() == [str(worker_uid())] * 4
        assert fields["Groups"].split() == []
        assert fields["NoNewPrivs"].strip() == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[name], 16) == 0, name

    in_own_thread(work)


def test_another_users_command_cannot_signal_the_runner(
    switched: RunSpec,
) -> None:
    """The runner is out of the agent's reach."""

    async def work() -> None:
        result = await make_commands(switched).run(
            ["sh", "-c", f"pwd; kill -0 {os.getpid()} || echo refused"]
        )
        assert result.stdout.decode().splitlines() == [str(switched.paths.workspace), "refused"]

    in_own_thread(work)


def test_a_switched_process_without_the_marker_is_found_by_its_user(switched: RunSpec) -> None:
    """Nothing survives, not even what took the marker off."""
    script = "trap '' TERM; setsid env -i sleep 300 & echo $!; sleep 300"

    async def work() -> None:
        async with make_commands(switched).open(["sh", "-c", script]) as running:
            hidden = await _first_number(running)
            with anyio.fail_after(300):
                while Path(f"/proc/{hidden}/environ").read_bytes():
                    await anyio.sleep(0.005)
            await running.stop()
            assert_ended(hidden)

    in_own_thread(work)


@pytest.mark.parametrize("isolation", ["bare", "switched"])
def test_an_interactive_command_is_written_to_while_it_runs(
    request: pytest.FixtureRequest, isolation: str
) -> None:
    """Contract of RunningCommand.send: all of it, also what a pipe does not hold at once."""
    spec: RunSpec = request.getfixturevalue(isolation)
    big = "x" * 1_000_000

    async def work() -> None:
        async with make_commands(spec).open(["cat"], interactive=True) as running:
            lines = running.lines()
            await running.send(b"one\n")
            assert (await anext(lines)).text == "one"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running.send, big.encode() + b"\n")
                assert (await anext(lines)).text == big
            await running.stop()
            with pytest.raises(BrokenPipeError):
                await running.send(b"more\n")

    in_own_thread(work)


def test_a_command_that_is_not_interactive_cannot_be_written_to(bare: RunSpec) -> None:
    async def work() -> None:
        async with make_commands(bare).open(["cat"], stdin=b"all of it\n") as running:
            with pytest.raises(BrokenPipeError):
                await running.send(b"more\n")

    anyio.run(work)
