"""Runs as the first process in a sandbox. Standard library only.

    python3 -I -S init.py [--report FD] argv...

It starts argv, passes SIGTERM, SIGINT and SIGHUP on to it, reaps every process whose parent has
ended, and ends as argv does (128 + n if signal n ended it); the kernel then ends the rest.
If argv was killed, and the kernel killed a process here for lack of memory, it ends with
EXIT_OUT_OF_MEMORY: Podman 4.3 does not report that on control groups version 1.

With --report it writes a line to the descriptor FD, which argv does not get: the exit status of
argv, or -n if signal n ended it. So whoever started the sandbox knows that argv itself ended, and
not the sandbox around it, which looks the same from outside.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

EXIT_CANNOT_RUN = 126
EXIT_OUT_OF_MEMORY = 215  # no shell's, no signal's and no runner's
KILLED = 128 + signal.SIGKILL
# Of version 2 and of version 1; read at the end, for the group goes with the container.
_COUNTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_DUMPABLE = 4  # linux/prctl.h


def _reap(child: int) -> int | None:
    """Reap all processes that have ended. Returns the exit status of `child` if it was among
    them."""
    code = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code


def tells_of_a_kill(text: str) -> bool:
    """Whether a control group's counters say that the kernel killed for lack of memory."""
    counts = [line.split() for line in text.splitlines()]
    return any(c[0] == "oom_kill" and c[1] != "0" for c in counts if len(c) == 2)


def _ran_out_of_memory() -> bool:
    for path in _COUNTS:
        with suppress(OSError):
            if tells_of_a_kill(Path(path).read_text("ascii")):
                return True
    return False


def _keep(descriptor: int) -> None:
    """Make a descriptor unreachable for argv, which must neither inherit it nor open it in
    /proc."""
    os.set_inheritable(descriptor, False)
    with suppress(ImportError, OSError):  # a Python without ctypes
        import ctypes

        # A process that is not dumpable closes its folder in /proc to its own user (proc(5)).
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main(argv: list[str]) -> int:
    """Run the command line of this module's description; the exit status to end with."""
    if argv[0] != "--report":
        return _run(argv)[1]
    descriptor = int(argv[1])
    _keep(descriptor)
    end, status = _run(argv[2:])
    os.write(descriptor, b"%d\n" % end)
    return status


def _run(argv: list[str]) -> tuple[int, int]:
    """How argv ended, and the exit status to end with."""
    # Blocked and waited for instead of handled: a signal that arrives before the child exists stays
    # pending and is not lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, signal.SIGCHLD))
    try:
        child = os.posix_spawnp(argv[0], argv, dict(os.environ), setsigmask=before)
    except OSError as error:
        sys.stderr.write(f"init: cannot run {argv[0]}: {error.strerror}\n")
        return EXIT_CANNOT_RUN, EXIT_CANNOT_RUN
    while True:
        number = signal.sigwait((*_PASSED_ON, signal.SIGCHLD))
        # Several children may have ended for one SIGCHLD, so all are reaped each time.
        if number != signal.SIGCHLD:
            os.kill(child, number)
        elif (code := _reap(child)) is not None:
            status = code if code >= 0 else 128 - code
            oom = status == KILLED and _ran_out_of_memory()
            return code, EXIT_OUT_OF_MEMORY if oom else status


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)
