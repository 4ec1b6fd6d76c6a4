"""Starts one runner on the host and outlives the daemon that asked for it.

    python3 -I -S supervise.py FOLDER

FOLDER/launch.json holds argv, env and limits. The calling process returns as soon as the runner
has been started or could not be; a detached child stays and waits for it. It imports the standard
library, and modules of agent_runner that need no more.

    lock        held, by the kernel, for as long as supervisor or runner live: the proof of life
    state.json  process ids with their start times; written before and after the start
    exit.json   how the runner ended; missing if the supervisor was killed
    runner.log  what the runner printed
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    # -I and -S, with which it starts faster, leave out the folder of Rover's packages.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
from agent_runner.atomic_write import replace_file
from agent_runner.process.locks import open_lock, try_lock

DIED = "the supervisor was killed"
HELD_BYTES = 4096
LOG_BYTES = 1_000_000
LOG_KEPT_BYTES = 64 * 1024
LOG_LOOK_SECONDS = 10
LOCK_TRIES = 100
LOCK_PAUSE = 0.02
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start_time(pid: int) -> str:
    """Return a process's start time in clock ticks since boot (proc(5), field 22 of stat).

    The kernel reuses process ids: an id with its start time names one process for ever.

    Raises:
        OSError: the process does not exist.
    """
    text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    # The second field, the program's name in brackets, may itself hold spaces and brackets.
    return text.rpartition(")")[2].split()[19]


def write_json(path: Path, value: object) -> None:
    """Replace a small file atomically, and have it on disk before returning."""
    replace_file(path, json.dumps(value), durable=True)


def hold_room(path: Path) -> None:
    """Reserve the room that `write_held` needs, in case the disk is full by then."""
    with path.with_name(f".{path.name}.held").open("wb") as file:
        file.write(b" " * HELD_BYTES)
        file.flush()
        os.fsync(file.fileno())


def write_held(path: Path, value: object) -> None:
    """Replace a small file as write_json does, in the room that was reserved."""
    held = path.with_name(f".{path.name}.held")
    with held.open("r+b") as file:
        # JSON allows blanks behind a value, so that the file keeps its length and needs no new
        # block.
        file.write(json.dumps(value).encode().ljust(HELD_BYTES))
        file.flush()
        os.fsync(file.fileno())
    held.replace(path)


def take_lock(folder: Path) -> int | None:
    """The lock's descriptor, or None if another supervisor holds it."""
    handle = open_lock(folder / "lock")
    for _ in range(LOCK_TRIES):
        if try_lock(handle):
            return handle
        # Whoever asks whether the sandbox lives holds the lock for microseconds.
        if (folder / "state.json").exists():
            break
        time.sleep(LOCK_PAUSE)
    os.close(handle)
    return None


def _prepare_runner(limits: dict[str, int]) -> None:
    # If the supervisor is killed, the kernel sends the runner a SIGTERM, at which it writes a
    # checkpoint and ends, so that no orphan is left.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for name, most in limits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (value, value))


def _start(folder: Path, lock: int) -> subprocess.Popen[bytes]:
    launch = json.loads((folder / "launch.json").read_text("utf-8"))
    state = {"supervisor": [os.getpid(), start_time(os.getpid())], "started_at": time.time()}
    write_json(folder / "state.json", state)
    hold_room(folder / "exit.json")
    with (folder / "runner.log").open("ab", buffering=0) as log:
        runner = subprocess.Popen(
            launch["argv"],
            env=launch["env"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # The runner inherits the lock, so that it is held as long as either of them lives.
            pass_fds=(lock,),
            # One thread, no locks held: what makes preexec_fn unsafe is not here.
            preexec_fn=lambda: _prepare_runner(launch["limits"]),  # noqa: PLW1509
        )
    write_json(folder / "state.json", {**state, "runner": [runner.pid, start_time(runner.pid)]})
    return runner


def _supervise(folder: Path, report: int) -> None:
    # Away from the caller's terminal and group: a Ctrl-C there must not end the sandbox.
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    lock = take_lock(folder)
    if lock is None or (folder / "exit.json").exists():
        os.write(report, b"ok")
        return
    try:
        runner = _start(folder, lock)
    except (OSError, ValueError, KeyError) as error:
        (folder / "state.json").unlink(missing_ok=True)
        os.write(report, f"the runner cannot be started: {error}".encode())
        return
    os.write(report, b"ok")
    os.close(report)
    _keep_log_small(folder / "runner.log", runner.pid)
    code = runner.wait()
    write_held(folder / "exit.json", {"code": code if code >= 0 else 128 - code})


def _keep_log_small(log: Path, pid: int) -> None:
    """Cut the log until the runner ends. The runner opened it with O_APPEND, so that its next line
    follows what is kept."""
    ended = select.poll()
    ended.register(os.pidfd_open(pid), select.POLLIN)
    while not ended.poll(LOG_LOOK_SECONDS * 1000):
        cut_log(log)


def cut_log(log: Path) -> None:
    """Keep the end of a log that has grown too large."""
    with contextlib.suppress(OSError), log.open("rb+") as file:
        if os.fstat(file.fileno()).st_size > LOG_BYTES:
            file.seek(-LOG_KEPT_BYTES, os.SEEK_END)
            kept = file.read(LOG_KEPT_BYTES)
            file.truncate(0)
            file.seek(0)
            file.write(kept)


def main(arguments: list[str]) -> int:
    """Run the command line of this module's description."""
    folder = Path(arguments[0])
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _supervise(folder, writing)
        return 0
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        order = pipe.read()
    if order == b"ok":
        return 0
    sys.stderr.write(order.decode() or DIED)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
