"""The launcher, with daemons that are forked from a process which has imported everything already.

    python -P quick_launcher.py ARGUMENTS...

It starts a daemon by its own code, at its own time and with its own environment: only the program
differs, see preloaded_daemons.py. ROVER_PRELOADED names the socket of the process that is forked.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rover_mcp.launcher.daemon_start import DAEMON_COMMAND
from rover_mcp.launcher.main import main

_FORKED = Path(__file__).with_name("forked_daemon.py")

if __name__ == "__main__":
    path = os.environ.pop("ROVER_PRELOADED")
    # In place: whoever imported the list has this one.
    DAEMON_COMMAND[:] = [sys.executable, "-I", "-S", str(_FORKED), path, json.dumps(DAEMON_COMMAND)]
    main()
