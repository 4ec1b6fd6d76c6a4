"""`rover forget` against a real daemon: the repository is gone, all that was kept of it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.processes import wait_until
from tests.protocol.test_delete import ended
from tests.support.frames import LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.repos import git, make_repository
from tests.support.scripts import CREDITS, script
from tests.support.trusting import at_terminal

Json = dict[str, Any]


def rover(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "rover_mcp.cli.command_line", *words, "--home", str(home)]
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


def told(home: Path, *words: str) -> Json:
    found: Json = json.loads(rover(home, *words, "--json").stdout)
    return found


def test_without_yes_it_tells_and_with_it_all_but_the_repository_goes(shared: Path) -> None:
    home, repo = shared / "data", shared / "leaving"
    make_repository(repo)
    with LauncherClient(home, repo) as client:
        client.open()
        first, second = ended(client), ended(client)
    git(repo, "branch", "-D", second["branch"])
    plan = told(home, "forget", str(repo))
    assert [t["only_here"] is None for t in plan["tasks"]] == [True, False]
    assert plan["forgotten"] is False
    assert plan["bytes"] > 0
    said = rover(home, "forget", str(repo))
    assert (said.returncode, "Nothing has been removed yet" in said.stdout) == (0, True)
    tips = git(repo, "for-each-ref")
    kept = shared / "kept"
    repo.rename(kept)
    assert told(home, "forget", str(repo), "--yes")["forgotten"] is True
    names = [path.name for path in (home / "tasks").iterdir()]
    assert first["id"] not in names
    assert second["id"] not in names
    notes = [path.read_text() for path in (home / "projects").glob("*/repository")]
    assert str(repo) not in notes
    again = rover(home, "forget", str(repo), "--yes")
    assert (again.returncode, "nothing is kept" in again.stderr) == (1, True)
    assert git(kept, "for-each-ref") == tips
    kept.rename(repo)
    with LauncherClient(home, repo) as client:
        client.open()
        assert ended(client)["number"] == 1


def test_the_status_says_what_is_on_the_disk(shared: Path) -> None:
    home = shared / "data"
    with LauncherClient(home, shared / "repo") as client:
        client.open()
        ended(client)
        wait_until(lambda: "used" in client.tool("get_status")["disk"], "it has been measured")
        used = client.tool("get_status")["disk"]["used"]
        assert sum(used["kinds"].values()) == used["bytes"] > 0
        assert used["age_s"] >= 0
        assert "in the data folder: " in rover(home, "status").stdout


def test_a_person_at_the_terminal_decides(shared: Path) -> None:
    home, repo = shared / "data", shared / "asked"
    make_repository(repo)
    with LauncherClient(home, repo) as client:
        client.open()
        task = ended(client)["id"]
    refused = at_terminal(home, "forget", str(repo), typed="n\n")
    assert refused.returncode == 1
    assert (home / "tasks" / task).exists()
    done = at_terminal(home, "forget", str(repo))
    assert (done.returncode, "Forgotten, with 1 task." in done.stdout) == (0, True)
    assert not (home / "tasks" / task).exists()


def test_a_task_that_waits_to_go_on_is_named(shared: Path) -> None:
    home, repo = shared / "data", shared / "waiting"
    make_repository(repo)
    with LauncherClient(home, repo) as client:
        client.open()
        task = client.tool(
            "create_task", description="pauses", agent="scripted", engine="bubblewrap",
            workflow="quick", script=script(implement=[{"error": CREDITS}]),
        )["task"]["id"]  # fmt: skip
        client.wait_until(task, "PAUSED")
        for words in ((), ("--yes",)):
            refused = rover(home, "forget", str(repo), *words)
            assert (refused.returncode, "waits to resume automatically" in refused.stderr) == (
                1,
                True,
            )
            assert task in refused.stderr
        client.tool("cancel_task", task=task)
    assert rover(home, "forget", str(repo), "--yes").returncode == 0
