"""A runner that does as it is told, so that engines are tested without the interpreter.

    stand_in_runner.py SPEC_FOLDER [--wait SECONDS]

Standard library only: it runs with whatever Python a sandbox's image has. It reads spec.json for
its run folder, holds run/lock as the real one does, says in run/most-bytes how large a file of
its may be, appends a line to run/started and then
reads its orders from the FIFO run/orders: "exit N", or "ignore" to ignore SIGTERM from then on.
SIGTERM ends it with 2, as a pause does.
"""

import fcntl
import json
import os
import resource
import signal
import sys
from pathlib import Path

from agent_runner.process.late_spec import await_spec


def main():
    if "--wait" in sys.argv and not await_spec(Path(sys.argv[1]), float(sys.argv[-1])):
        sys.exit(os.EX_TEMPFAIL)
    spec = json.loads((Path(sys.argv[1]) / "spec.json").read_text())
    run = Path(spec["paths"]["run"])
    lock = (run / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def paused(number, frame):
        (run / "terminated").write_text("SIGTERM")
        sys.exit(2)

    signal.signal(signal.SIGTERM, paused)
    print(f"runner of attempt {spec['attempt']}", flush=True)
    (run / "most-bytes").write_text(str(resource.getrlimit(resource.RLIMIT_FSIZE)[0]))
    with (run / "started").open("a") as started:
        started.write(f"{os.getpid()}\n")
    while True:
        with (run / "orders").open() as orders:
            for line in orders:
                word, _, rest = line.strip().partition(" ")
                if word == "exit":
                    sys.exit(int(rest))
                if word == "ignore":
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    (run / "ignoring").touch()


if __name__ == "__main__":
    main()
