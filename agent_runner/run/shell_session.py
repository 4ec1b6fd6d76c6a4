"""A shell for a person, in a sandbox of its own, on a copy of a task's work tree.

The work tree is made as that of an attempt is. Then one client may connect to a socket in the run
folder, and gets a terminal on which the shell runs. When the shell ends, or the client goes, all
ends.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread

from agent_runner.models import ExitCode
from agent_runner.process import terminal_host
from agent_runner.process.commands import CommandKilled, CommandStarter
from agent_runner.process.spawn import gateway_forwarder
from agent_runner.spec import RunSpec, ShellSpec, WrapCommand
from agent_runner.worktree.project_setup import SetupFailed, set_up_task
from agent_runner.worktree.script_runner import WorktreeError
from agent_runner.worktree.worktree import Target, Worktree

SOCKET = "shell.sock"
"""In the run folder, once the shell can be connected to."""
CONNECT_SECONDS = 60.0
LOGIN_SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l")


async def run_shell(spec: RunSpec, shell: ShellSpec, commands: CommandStarter) -> ExitCode:
    """Serve one client. What goes wrong before that is on standard error.

    Raises:
        OSError: the gateway or the socket cannot be made.
    """
    async with gateway_forwarder(spec):
        try:
            await _prepare(spec, commands)
        except (WorktreeError, SetupFailed, CommandKilled) as error:
            sys.stderr.write(f"{error}\n")
            return ExitCode.FAILED
        link = await anyio.to_thread.run_sync(_accept, spec.paths.run)
        if link is None:
            return ExitCode.FAILED
        with link:
            await _serve(spec, shell, commands, link)
    return ExitCode.COMPLETED


async def _prepare(spec: RunSpec, commands: CommandStarter) -> None:
    worktree = Worktree(spec, commands)
    await worktree.prepare()
    if spec.restore is not None:
        target = Target(spec.restore.commit, spec.restore.head)
        await worktree.reset(target, keep_as="", restore=True)

    def warn(message: str) -> None:
        sys.stderr.write(f"{message}\n")

    await set_up_task(spec, commands, warn, new_tree=True)


def _accept(folder: Path) -> socket.socket | None:
    """The client's connection; None where none came in time, as its program was killed."""
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # Through the folder's descriptor: the address of a socket holds 107 bytes (unix(7)).
    name = f"/proc/self/fd/{place}/{SOCKET}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{name}.new")
        # In a container this process is root, and the client is not. Others do not reach the
        # folder, and the agent's user runs nothing now.
        os.chmod(f"{name}.new", 0o666)  # noqa: PTH101, S103
        listener.listen(1)
        # Renamed, so that whoever sees it can connect.
        os.rename(f"{name}.new", name)  # noqa: PTH104
        listener.settimeout(CONNECT_SECONDS)
        try:
            link, _ = listener.accept()
        except TimeoutError:
            return None
        finally:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            os.close(place)
    link.settimeout(None)
    return link


async def _serve(
    spec: RunSpec, shell: ShellSpec, commands: CommandStarter, link: socket.socket
) -> None:
    argv = _command(spec, shell)
    # A person looks at it: colours are welcome, unlike in what an agent or a log is given.
    variables = {"TERM": shell.term, "NO_COLOR": ""} if shell.terminal else {}
    async with anyio.create_task_group() as group:

        async def until_client_goes() -> None:
            await anyio.to_thread.run_sync(_wait_for_end, link, abandon_on_cancel=True)
            group.cancel_scope.cancel()

        # The program inside notices that, too, but what runs beside it could have stopped it.
        group.start_soon(until_client_goes)
        await commands.run(argv, env=variables, stdout_file=link.fileno(), network=True)
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


def _wait_for_end(link: socket.socket) -> None:
    """Wait until the other side of a connection is closed."""
    poll = select.poll()
    poll.register(link, select.POLLRDHUP)
    poll.poll()


def _command(spec: RunSpec, shell: ShellSpec) -> list[str]:
    rows, columns = (shell.rows, shell.columns) if shell.terminal else (0, 0)
    text = Path(terminal_host.__file__).read_text("utf-8")
    program = shell.argv or LOGIN_SHELL
    return [*_python(spec), "-I", "-S", "-c", text, str(rows), str(columns), *program]


def _python(spec: RunSpec) -> list[str]:
    """The interpreter as the agent sees it."""
    isolation = spec.isolation
    if isinstance(isolation, WrapCommand):
        return isolation.init[: isolation.init.index("-I")]
    return [sys.executable]
