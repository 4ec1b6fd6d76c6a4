"""A runner that was started ahead of its task waits here, with everything imported.

The host makes a FIFO, `orders`, in the spec folder before it starts the sandbox. Later it writes
spec.json, then into the FIFO. The runner opens the FIFO first and looks for spec.json then, so
that orders which came while it was starting are not missed.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

FIFO = "orders"
SPEC = "spec.json"


def await_orders(folder: Path, seconds: float) -> bool:
    """Block until there is a spec.json in `folder`; False: there was none in `seconds`.

    Raises:
        OSError: the FIFO cannot be opened, and there is no spec.json either.
    """
    try:
        fifo = os.open(folder / FIFO, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if (folder / SPEC).exists():
            return True  # they came before it looked, and were tidied up
        raise
    try:
        if not (folder / SPEC).exists():
            poll = select.poll()
            poll.register(fifo, select.POLLIN)
            poll.poll(seconds * 1000)
        return (folder / SPEC).exists()
    finally:
        os.close(fifo)
