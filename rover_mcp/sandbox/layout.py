"""Defines where things are inside a sandbox, and writes spec.json for it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent_runner.atomic_write import replace_file
from agent_runner.process.late_spec import FIFO
from agent_runner.process.locks import holding, open_lock
from agent_runner.spec import NoIsolation, Paths, RunSpec, SwitchUser, WrapCommand
from rover_mcp.domain.disk_full_error import write_fault
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.protocol import SandboxSpec

SPEC = Path("/rover/spec")
RUN = Path("/rover/run")
# The folder is mounted, not the socket: a bind mount of a file keeps its inode, and a daemon that
# is started again makes a new socket.
GATEWAY = Path("/rover/gateway")
BASE_OBJECTS = Path("/rover/base/objects")
WORKSPACE = Path("/workspace")
HOME = Path("/home/agent")

# Above 1000, so that no image's own user is likely to have it, and below 65,536: a rootless engine
# maps that many ids by default.
AGENT_UID = 10001
AGENT_GID = 10001

# For `exec`: the steps by which the runner gives up its rights before it starts a command, so that
# a look inside has an agent's rights. PR_SET_NO_NEW_PRIVS (38) first; PR_CAPBSET_DROP (24) needs
# CAP_SETPCAP, which setresuid takes away.
AS_AGENT = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)
os.setgroups([])
os.setresgid({AGENT_GID}, {AGENT_GID}, {AGENT_GID})
os.setresuid({AGENT_UID}, {AGENT_UID}, {AGENT_UID})
os.execvp(sys.argv[1], sys.argv[1:])
"""

RUNNER_ARGV = ("-m", "agent_runner", "run", "--spec", "{spec}")


def write_spec(
    spec: SandboxSpec,
    *,
    paths: Paths,
    gateway: Path,
    isolation: SwitchUser | WrapCommand | NoIsolation,
    environment: dict[str, str],
    port: int | None = None,
) -> RunSpec:
    """Fill in what the engine knows and write spec.json into the spec folder, atomically.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    inside = isinstance(isolation, SwitchUser)
    seen = (WORKSPACE, HOME) if inside else (spec.folders.work, spec.folders.home)
    records = (RUN if inside else spec.folders.run,)
    disk = spec.run.disk
    measured = {"folders": seen, "records": records}
    run = spec.run.model_copy(
        update={
            "disk": disk and disk.model_copy(update={**_shown(spec, inside), **measured}),
            "paths": paths,
            "isolation": isolation,
            "gateway": spec.run.gateway.model_copy(
                update={"socket": gateway, "port": port or spec.run.gateway.port}
            ),
            "environment": {**environment, **spec.run.environment},
        }
    )
    target = spec.folders.spec / "spec.json"
    try:
        replace_file(target, run.model_dump_json(indent=1))
    except OSError as error:
        raise disk_fault(target, error) from error
    return run


def _shown(spec: SandboxSpec, inside: bool) -> dict[str, object]:
    """Name, for messages, the folders that have other names inside."""
    if not inside:
        return {}
    volumes = "what the container engine keeps of the task (its volumes)"
    return {"shown": {str(WORKSPACE): volumes, str(HOME): volumes, str(RUN): str(spec.folders.run)}}


def prepare_late_spec(spec_folder: Path) -> None:
    """Let a runner that is started now wait for its spec.json (agent_runner/process/late_spec.py).

    Raises:
        OSError: the folder cannot be written.
    """
    # A FIFO rather than a file to look for: the runner wakes without polling, and the daemon needs
    # no connection to it, which a restart would cut.
    with suppress(FileExistsError):
        os.mkfifo(spec_folder / FIFO, 0o600)


def awaits_spec(spec_folder: Path) -> bool:
    """Whether the sandbox of this folder was started ahead, and has not been given its spec."""
    return (spec_folder / FIFO).exists()


def deliver_spec(spec_folder: Path) -> None:
    """Wake the runner, once its spec.json is there. Repeating it is harmless.

    Raises:
        OSError: the folder cannot be written.
    """
    try:
        fifo = os.open(spec_folder / FIFO, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        # open(2) of a FIFO with O_NONBLOCK fails with ENXIO while nobody reads: the runner is still
        # starting, and looks for spec.json before it waits.
        if error.errno != errno.ENXIO:
            raise
    else:
        os.write(fifo, b"!")
        os.close(fifo)
    (spec_folder / FIFO).unlink(missing_ok=True)


def drop_late_spec(spec_folder: Path) -> None:
    """Remove the pipe of a sandbox that waited here and is gone."""
    (spec_folder / FIFO).unlink(missing_ok=True)


@contextmanager
def sandbox_lock(folder: Path) -> Generator[None]:
    """Hold the lock with which one call, of any thread or process, starts an attempt's sandbox.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with holding(open_lock(folder / ".making")):
        yield


def runner_command(argv: tuple[str, ...], spec: Path, wait: float | None = None) -> list[str]:
    """The runner's argument list, with the spec folder as the runner sees it; `wait`: the
    seconds in which its spec may come."""
    command = [part.replace("{spec}", str(spec)) for part in argv]
    return command if wait is None else [*command, "--wait", f"{wait:g}"]


def home_label(home: Path) -> str:
    """Return the label that marks a sandbox as one of this data folder."""
    # Two daemons with folders of their own may share an engine; neither may touch the other's.
    return hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]


def disk_fault(path: Path, error: OSError) -> EnvironmentFault:
    """Return the error for one of our files that cannot be written or read."""
    return write_fault(f"{path} cannot be written", path, error)
