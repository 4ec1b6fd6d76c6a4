"""`rover inspect --full` lists what the network policy refused."""

from __future__ import annotations

from io import StringIO

from rover_mcp.cli.render import task
from rover_mcp.cli.terminal_text import Paint
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.task_view import task_view
from tests.support.samples import NOW, task_row

EVIL = "\x1b]0;owned\x07evil.example:443"


def test_refused_hosts_are_listed_with_what_would_allow_them() -> None:
    hosts = [
        {"host": EVIL, "reason": "is not on the list", "remedy": "network: open", "count": 3},
        {"host": "10.0.0.1:80", "reason": "is not public", "remedy": None, "count": 1},
    ]
    row = task_row(refused={"hosts": hosts, "more": 0}, network={"mode": "providers"})
    policy = Policy(off=frozenset(), config_off=False, max_auto_retries=5)
    view = task_view(row, None, None, NOW.timestamp(), policy, full=True)
    shown = "\n".join(task({"task": view.model_dump(mode="json")}, Paint(StringIO())))
    assert "network providers" in shown
    assert "Refused by the network policy:" in shown
    assert "evil.example:443  3 times" in shown
    assert "to allow it: network: open" in shown
    assert "10.0.0.1:80  once" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
