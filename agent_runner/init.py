"""The first process of a container whose engine brings no init. Standard library only.

    python3 -I -S init.py argv...

It starts argv, passes SIGTERM, SIGINT and SIGHUP on to it, reaps every process whose parent has
ended, and ends as argv does (128 + n where signal n ended it); the kernel then ends the rest.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

EXIT_CANNOT_RUN = 126
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _reap(child: int) -> int | None:
    """Reap all that has ended; the exit status of `child` if it was among them."""
    code = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code


def main(argv: list[str]) -> int:
    """Run the command line of this module's description; the exit status to end with."""
    # Blocked and waited for, not handled: one that comes before the child is there is kept.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, signal.SIGCHLD))
    try:
        child = os.posix_spawnp(argv[0], argv, dict(os.environ), setsigmask=before)
    except OSError as error:
        sys.stderr.write(f"init: cannot run {argv[0]}: {error.strerror}\n")
        return EXIT_CANNOT_RUN
    while True:
        number = signal.sigwait((*_PASSED_ON, signal.SIGCHLD))
        if number != signal.SIGCHLD:
            os.kill(child, number)
        elif (code := _reap(child)) is not None:
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)
