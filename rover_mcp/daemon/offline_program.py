"""Prints what repair, backup and restore did: the programs that work without a daemon."""

from __future__ import annotations

import json
from collections.abc import Callable

from rover_mcp.domain.errors import RoverError


def print_outcome(work: Callable[[], object]) -> int:
    """Do the work and print what was done, or why not, as JSON; the exit status."""
    try:
        done = work()
    except RoverError as error:
        print(json.dumps({"message": error.message, "hint": error.hint, "code": error.code}))
        return 1
    print(json.dumps(done))
    return 0
