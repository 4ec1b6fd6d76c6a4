"""A hundred clients that listen: how soon an event reaches the last of them, and what the daemon
costs while nothing happens.

Goals: 200 ms from the event's time in the store to the last client that reads it; 150 MB; 2 % of a
core. Every client is a launcher process of its own, half of them of either protocol era; all follow
one task over its resource. The readers are threads of this process: their turns are in the figures.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path

from rover_mcp.demo.demo_environment import end_daemon
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import wait_until
from tests.support.frames import LEGACY, MODERN, LauncherClient
from tests.support.repos import make_repository
from tests.support.scripts import script

CLIENTS, PAUSES = 100, 10
SETTLE_SECONDS, IDLE_SECONDS = 20.0, 40.0
ERROR = {"status": 402, "type": "billing_error", "message": "Your credit balance is too low"}
UPDATED = "notifications/resources/updated"


class Listener(LauncherClient):
    """Notes when each update of what it follows has arrived."""

    def __init__(self, home: Path, cwd: Path, era: str) -> None:
        self.arrivals: list[float] = []
        super().__init__(home, cwd)
        self.open(era)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            at, frame = time.time(), json.loads(line)
            if frame.get("method") == UPDATED:
                self.arrivals.append(at)
            self._new.put(frame)
        self._new.put(None)

    def follow(self, uri: str) -> None:
        if self.era == LEGACY:
            self.request("resources/subscribe", {"uri": uri})
            return
        self.start_request(
            "subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}
        )
        self.wait_for(lambda f: f.get("method") == "notifications/subscriptions/acknowledged")


def event_times(home: Path, after: int) -> list[tuple[int, float]]:
    with closing(sqlite3.connect(f"file:{home}/rover.db?mode=ro", uri=True)) as connection:
        query = "SELECT seq, at FROM rover_events WHERE seq > ? ORDER BY seq"
        return connection.execute(query, (after,)).fetchall()


def last_arrivals(home: Path, listeners: list[Listener], after: int) -> list[float]:
    """Milliseconds from each later event to the last client, once every client has them all."""
    events = event_times(home, after)
    wait_until(lambda: all(len(c.arrivals) >= len(events) for c in listeners), "all were told", 30)
    late: dict[int, float] = defaultdict(float)
    for listener in listeners:
        for (seq, at), arrival in zip(events, listener.arrivals, strict=True):
            late[seq] = max(late[seq], (arrival - at) * 1000)
    return list(late.values())


def cost(pid: int, seconds: float) -> tuple[float, float]:
    """Percent of a core over so many seconds, and megabytes now."""
    tick = os.sysconf("SC_CLK_TCK")

    def used() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(seconds)
    percent = (used() - before) / tick / seconds * 100
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmRSS"))
    return percent, kilobytes / 1024


def main() -> None:
    """Print the section of the table."""
    folder = Path(tempfile.mkdtemp(prefix="rover-bench-"))
    home, repository = folder / "home", make_repository(folder / "repo")
    home.mkdir()
    (home / "config.yaml").write_text("spare_sandboxes: 0\nauto_resume: false\n")
    with closing(LauncherClient(home, repository)) as asking, ExitStack() as stack:
        asking.open()
        task = asking.tool(
            "create_task", description="Pause again and again", workflow="quick",
            agent="scripted", engine="bubblewrap", script=script(implement=[{"error": ERROR}]),
        )["task"]["id"]  # fmt: skip
        asking.wait_until(task, "PAUSED")
        listeners = [
            stack.enter_context(Listener(home, repository, (LEGACY, MODERN)[i % 2]))
            for i in range(CLIENTS)
        ]
        for listener in listeners:
            listener.follow(f"rover://tasks/{task}")
        after = event_times(home, 0)[-1][0]
        for _ in range(PAUSES):
            asking.tool("resume_task", task=task)
            asking.wait_until(task, "PAUSED")
        late = last_arrivals(home, listeners, after)
        # The durable queue is asked often for some seconds after a call.
        time.sleep(SETTLE_SECONDS)
        percent, megabytes = cost(daemon_pid(home), IDLE_SECONDS)
    end_daemon(home)
    shutil.rmtree(folder)
    print(f"\n{CLIENTS} clients that follow one task, {len(late)} events")
    print(f"  an event at the last of them, median  {statistics.median(late):7.1f} ms")
    print(f"  the slowest event                     {max(late):7.1f} ms  (goal: 200)")
    print(f"  the daemon, nothing happening         {percent:7.1f} % of a core  (goal: 2)")
    print(f"  its memory                            {megabytes:7.0f} MB  (goal: 150)")


if __name__ == "__main__":
    main()
