"""`rover report` of a real task: everything from the journal to the file that a browser opens."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tests.e2e.test_review import rover
from tests.support.browser import chromium
from tests.support.frames import LauncherClient
from tests.support.scripts import script

TOKEN = "ghp_" + "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW2xY4"
PLAYED = script(
    implement=[
        {
            "edits": [
                {"path": "sum.py", "content": f'KEY = "{TOKEN}"\n'},
                {
                    "path": "<img src=x>.txt",
                    "content": "</script><script>window.ran = 1</script>\n",
                },
                {"path": ".envrc", "content": "export X=1\n"},
            ]
        },
        {"edits": [{"path": "two.txt", "content": "two\n"}]},
    ]
)
QUICK = {
    "description": "Write **sum.py** <script>window.ran = 1</script>", "workflow": "quick",
    "agent": "scripted", "engine": "bubblewrap", "script": PLAYED,
}  # fmt: skip


def test_a_report_shows_a_task_without_its_secrets(client: LauncherClient, tmp_path: Path) -> None:
    """R1."""
    task = client.tool("create_task", **QUICK)["task"]["id"]
    client.wait_until(task, "COMPLETED")
    client.tool("iterate_task", task=task, instructions="Write two.txt")
    client.wait_until(task, "COMPLETED")
    page, trace = tmp_path / "task.html", tmp_path / "trace.json"

    done = rover(client, "report", task, "--out", str(page), "--trace", str(trace))
    assert (done.returncode, done.stdout.strip()) == (0, str(page)), done.stderr
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    html = page.read_text()
    assert TOKEN not in html
    assert "[hidden]" in html
    assert html.index(".envrc</code>") < html.index("sum.py</code> ")
    for words in ("Write two.txt", "<strong>sum.py</strong>", "scripted", "rover diff"):
        assert words in html
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert names == {"iteration 1", "iteration 2", "steps", "pauses"}
    assert {event["name"] for event in events if event["ph"] == "X"} >= {"Implement"}

    data = json.loads(rover(client, "report", task, "--json").stdout)
    assert [one["status"] for one in data["iterations"]] == ["completed", "completed"]
    assert data["task"]["changes"]["files"] == 4
    assert TOKEN not in json.dumps(data)
    assert {log["iteration"] for log in data["logs"]} == {1, 2}

    with chromium(tmp_path) as browser:
        tab = browser.new_page()
        tab.open(page)
        assert tab.evaluate("typeof window.ran") == "undefined"
        assert tab.requests == [page.as_uri()]
        assert tab.console == []


def test_a_report_that_cannot_be_written_says_where_else(client: LauncherClient) -> None:
    task = client.tool("create_task", **QUICK)["task"]["id"]
    client.wait_until(task, "COMPLETED")
    done = rover(client, "report", task, "--out", "/nowhere/x.html")
    assert done.returncode != 0
    assert "/nowhere/x.html cannot be written" in done.stderr
    assert "--out" in done.stderr
    assert rover(client, "report", "99").returncode != 0
