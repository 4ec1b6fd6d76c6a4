"""`rover gc` against a real daemon: it shows first, and frees nothing of a task that is paused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.protocol.test_delete import ended, rover
from tests.support.frames import LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import CREDITS, script

Json = dict[str, Any]


def items(home: Path, *words: str) -> list[Json]:
    done = rover(home, "gc", *words, "--json")
    assert done.returncode == 0, done.stderr
    listed: list[Json] = json.loads(done.stdout)["items"]
    return listed


def test_it_shows_by_kind_and_frees_what_can_be_made_again(shared: Path) -> None:
    """N13"""
    home, repo = shared / "data", shared / "space"
    make_repository(repo)
    with LauncherClient(home, repo) as client:
        client.open()
        done, deleted = ended(client), ended(client)
        new = {"description": "Pay", "workflow": "quick", "agent": "scripted",
               "engine": "bubblewrap", "script": script(implement=[{"error": CREDITS}])}  # fmt: skip
        paused = client.tool("create_task", **new)["task"]["id"]
        client.wait_until(paused, "PAUSED")
        git(repo, "branch", "-D", deleted["branch"])
        client.tool("delete_task", task=deleted["id"], confirm=True)
        orphan = home / "tasks" / ("0f" * 16)
        (orphan / "work").mkdir(parents=True)
        os.utime(orphan, (0, 0))

        plan = items(home)
        of = {kind: [i for i in plan if i["kind"] == kind] for kind in
              ("work-trees", "bundles", "trash", "orphans")}  # fmt: skip
        assert [i["id"] for i in of["bundles"] if i["task"] == done["id"]] == [done["id"]]
        assert not [i for i in plan if i["task"] == paused]
        (trashed,) = [i for i in of["trash"] if i["id"] == deleted["id"]]
        assert "snapshot" in trashed["only_here"]
        assert orphan.name in {i["id"] for i in of["orphans"]}
        text = rover(home, "gc").stdout
        assert "Nothing is freed yet" in text
        assert "nowhere else: " in text

        freed = items(home, "bundles", "work-trees", "caches", "--yes")
        assert done["id"] in {i["id"] for i in freed if i["freed"] and i["kind"] == "bundles"}
        assert not list((home / "tasks" / done["id"]).glob("iterations/*/run/bundles/*"))
        assert client.tool("get_diff", task=done["id"])["patch"]
        assert client.tool("inspect", task=paused)["task"]["status"] == "PAUSED"
        assert list((home / "tasks" / paused).glob("iterations/*/run/bundles/*"))
        assert orphan.exists()

        items(home, "orphans", "trash", "--yes")
        assert not orphan.exists()
        assert json.loads(rover(home, "trash", "--json").stdout)["trash"] == []
        assert not (home / "tasks" / deleted["id"]).exists()
        assert rover(home, "gc", "everything").returncode != 0


def test_a_task_whose_bundles_were_freed_can_be_iterated(shared: Path) -> None:
    """N13"""
    home, repo = shared / "data", shared / "again"
    make_repository(repo)
    with LauncherClient(home, repo) as client:
        client.open()
        task = ended(client)["id"]
        items(home, "bundles", "work-trees", "--yes")
        client.tool("iterate_task", task=task, instructions="More")
        client.wait_until(task, "COMPLETED")
