"""Signals to groups reach what the agent itself started, and nothing else."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost
from tests.e2e.conftest import daemon_pid
from tests.support.scripts import script

# A runner that gets it pauses its task; an agent's own command that gets it has failed.
_ALL = "import os, signal\nos.kill(-1, signal.SIGTERM)\nos.kill(os.getpid(), signal.SIGTERM)\n"
_OWN_GROUP = "import os, signal\nos.kill(0, signal.SIGTERM)\n"
_EVERY_GROUP = """
import os, signal
groups = {1}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        groups.add(int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[2]))
    except OSError:
        continue
for number in (signal.SIGTERM, signal.SIGKILL):
    for group in sorted(groups - {os.getpgrp(), 0}):
        try:
            os.killpg(group, number)
        except OSError:
            continue
os.killpg(os.getpgrp(), signal.SIGTERM)
"""
SIGNALS = {"all": _ALL, "own-group": _OWN_GROUP, "every-group": _EVERY_GROUP}


def _run(program: str) -> str:
    packed = base64.b64encode(program.encode()).decode()
    return f"echo {packed} | base64 -d > /tmp/.s.py && python3 /tmp/.s.py"


@pytest.mark.known_escape(9)
@pytest.mark.parametrize("engine", ENGINES)
def test_signals_to_groups_end_nothing_of_others(stage: AttackedHost, engine: str) -> None:
    """kill(0), kill(-1) and killpg of every group that is seen: CVE-2026-97029."""
    daemon = daemon_pid(stage.data)
    waits = script(implement=[{"delay": 3}])
    other = stage.create("quick", engine, waits, other=True, title="Wait")
    made: dict[str, dict[str, Any]] = {}
    for name, program in SIGNALS.items():
        stage.workflow(f"signals-{name}", [{"id": "attack", "type": "agent", "prompt": "attack"}])
        turns = script(attack=[{"run": _run(program)}])
        made[name] = stage.create(f"signals-{name}", engine, turns)
    for name, task in made.items():
        ended = stage.ended(task)
        # Its own runner outlived it, and says what became of the command.
        assert ended["attempt"] == 1, str(ended)
        if ended["status"] != "COMPLETED":
            assert ended["pause"]["reason"] == "interrupted", f"{name}: {ended}"
            assert "a command was killed" in ended["pause"]["message"], f"{name}: {ended}"
    done = stage.other_client.wait_until(other["id"], "COMPLETED")
    assert done["attempt"] == 1
    assert daemon_pid(stage.data) == daemon
