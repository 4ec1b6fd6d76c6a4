"""`agent-runner run --spec DIR`: run one attempt. Exit status: 0 completed, 1 failed, 2 paused.

With `--wait SECONDS` it may be started before there is a spec.json; see late_spec.py. One that was
not needed in that time ends with 75 (EX_TEMPFAIL of sysexits.h).
"""

from __future__ import annotations

import gc
import sys


def main(argv: list[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    # What is imported stays: to look through it again and again for garbage costs a tenth of the
    # start.
    gc.disable()
    from agent_runner.run.runner_command import run_command

    # No collection scans it later, either.
    gc.freeze()
    gc.enable()
    return run_command(__doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
