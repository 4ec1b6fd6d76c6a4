"""Uses the system's keyring in a process of its own.

`python -m rover_mcp.config.keyring_program get|set|delete ENTRY`: a key is read from stdin and
written to stdout. Exit status 3: no keyring can be used.
"""

from __future__ import annotations

import os
import sys
from typing import Any

SERVICE = "rover-mcp"
EXIT_NONE = 3
LEAST_PRIORITY = 1
"""What keyring recommends; below it are files in plain text, and the absence of any keyring."""


# Keyring backends start desktop services and load plugins, which has no place in the daemon.
def main(action: str, entry: str, *_: str) -> int:
    """Whatever a keyring raises ends this process with a traceback, which has no key in it."""
    import keyring

    ring: Any = keyring.get_keyring()
    chosen = "PYTHON_KEYRING_BACKEND" in os.environ
    priority = float(getattr(ring, "priority", 0))
    if priority <= 0 or (priority < LEAST_PRIORITY and not chosen):
        return EXIT_NONE
    if action == "set":
        key = sys.stdin.read()
        ring.set_password(SERVICE, entry, key)
        return 0 if ring.get_password(SERVICE, entry) == key else EXIT_NONE
    if action == "delete":
        if ring.get_password(SERVICE, entry) is not None:
            ring.delete_password(SERVICE, entry)
        return 0
    print(ring.get_password(SERVICE, entry) or "")
    return 0


if __name__ == "__main__":
    # What a backend raises may quote its arguments.
    sys.tracebacklimit = 0
    sys.excepthook = lambda kind, _value, _trace: print(kind.__name__, file=sys.stderr)
    sys.exit(main(*sys.argv[1:]))
