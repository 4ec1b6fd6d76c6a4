"""Reads the command line of `agent-runner`, and runs one attempt or the project's setup."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import anyio
from pydantic import ValidationError

from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.gateway_evidence import GatewayEvidence
from agent_runner.journal.journal import FILE_NAME, Journal, RecordType
from agent_runner.journal.journal_reader import JournalError
from agent_runner.models import ExitCode
from agent_runner.process import seccomp
from agent_runner.process.commands import CommandKilled
from agent_runner.process.late_spec import await_spec
from agent_runner.process.spawn import gateway_forwarder, make_commands
from agent_runner.run.attempt import PauseRequest, Run, utc_now
from agent_runner.run.shell_session import run_shell
from agent_runner.spec import RunSpec, SwitchUser
from agent_runner.worktree.project_setup import SetupFailed, set_up_image
from agent_runner.worktree.script_runner import WorktreeError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals(stop: PauseRequest) -> Generator[None]:
    """SIGTERM and SIGINT ask `stop`; the handlers are gone when the context is left."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.request)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def run(spec: RunSpec) -> ExitCode:
    """Run one attempt.

    Raises:
        OSError, JournalError: the journal cannot be opened, or the gateway not be reached;
            nothing was run.
    """
    # In a container. bubblewrap puts the filter on each command that it starts.
    if isinstance(spec.isolation, SwitchUser):
        seccomp.confine()
    if spec.shell is not None:
        return await run_shell(spec, spec.shell, make_commands(spec))
    gateway = GatewayEvidence(spec.gateway.socket, spec.gateway.token)
    journal = Journal.open(spec.paths.run / FILE_NAME, utc_now, bell=gateway.ring)
    crash_point(CrashPoint.JOURNAL_OPENED)
    stop = PauseRequest()
    try:
        with stop_on_signals(stop):
            async with AsyncExitStack() as stack:
                await _reach_gateway(spec, journal, stack)
                return await Run(spec, journal, make_commands(spec), gateway, stop).execute()
    finally:
        journal.close()
        gateway.close()


async def set_up(spec: RunSpec) -> ExitCode:
    """Run the project's setup, in a container that is to become an image. What the commands
    print goes to standard output, why it failed to standard error.

    Raises:
        OSError: the gateway cannot be reached; nothing was run.
    """
    seccomp.confine()
    try:
        await set_up_image(spec, make_commands(spec), lambda line: print(line, flush=True))
    except (SetupFailed, CommandKilled, WorktreeError) as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.FAILED
    return ExitCode.COMPLETED


async def _reach_gateway(spec: RunSpec, journal: Journal, stack: AsyncExitStack) -> None:
    try:
        await stack.enter_async_context(gateway_forwarder(spec))
    except OSError as error:
        message = f"the gateway cannot be made reachable: {error}"
        journal.append(RecordType.WORKFLOW_FAIL, {"step": None, "error": message}, flush=True)
        raise


def _wait(folder: Path, seconds: float) -> bool:
    # What a run imports and builds late (the event loop's back end, what reads the specification)
    # is made now.
    anyio.run(anyio.sleep, 0)
    RunSpec.model_rebuild()
    return await_spec(folder, seconds)


def run_command(description: str | None, argv: list[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status. `description` is for --help."""
    parser = argparse.ArgumentParser(prog="agent-runner", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="run one attempt of a task")
    command.add_argument("--spec", type=Path, required=True, help="folder with spec.json")
    command.add_argument("--wait", type=float, help="seconds in which spec.json may come")
    command = commands.add_parser("setup", help="run the project's setup, for an image")
    command.add_argument("--spec", type=Path, required=True, help="folder with spec.json")
    command.set_defaults(wait=None)
    arguments = parser.parse_args(argv)
    folder: Path = arguments.spec
    try:
        if arguments.wait is not None and not _wait(folder, arguments.wait):
            return os.EX_TEMPFAIL
        if arguments.command == "setup":
            return anyio.run(set_up, RunSpec.load(folder))
        code = anyio.run(run, RunSpec.load(folder))
    except (OSError, ValidationError, JournalError, seccomp.UnknownMachine) as error:
        sys.stderr.write(f"agent-runner: {error}\n")
        return ExitCode.FAILED
    sys.stderr.write(f"agent-runner: {code.name.lower()}\n")
    return code
