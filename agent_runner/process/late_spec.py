"""Waits for spec.json in a runner that was started before its task, with everything imported.

The host makes a FIFO, `orders`, in the spec folder before it starts the sandbox. Later it writes
spec.json, and then into the FIFO. The runner opens the FIFO first and looks for spec.json next, so
that it does not miss a spec that came while it was starting.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

FIFO = "orders"
SPEC = "spec.json"


def await_spec(folder: Path, seconds: float) -> bool:
    """Block until `folder` has a spec.json. False: there was none after `seconds`.

    Raises:
        OSError: the FIFO cannot be opened, and there is no spec.json either.
    """
    try:
        # Without O_NONBLOCK the open itself waits until the host opens the other end (fifo(7)).
        fifo = os.open(folder / FIFO, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if (folder / SPEC).exists():
            return True  # the spec came before this look, and the FIFO was removed
        raise
    try:
        if not (folder / SPEC).exists():
            poll = select.poll()
            poll.register(fifo, select.POLLIN)
            poll.poll(seconds * 1000)
        return (folder / SPEC).exists()
    finally:
        os.close(fifo)
