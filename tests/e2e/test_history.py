"""Looking back at what a task did, and going back to an earlier state of it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.test_iterations import QUICK
from tests.support.frames import LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

THRICE = script(
    implement=[
        {"edits": [{"path": "one.txt", "content": "one\n"}]},
        {"edits": [{"path": "two.txt", "content": "two\n"}, {"path": "one.txt", "content": "x\n"}]},
        {"edits": [{"path": "three.txt", "content": "three\n"}]},
    ]
)


def test_an_iteration_goes_back_to_a_snapshot_and_loses_nothing(
    client: LauncherClient, repository: Path
) -> None:
    """N14: the branch only moves on, and what was set back can be had again."""
    task = client.tool("create_task", **(QUICK | {"script": THRICE}))["task"]["id"]
    client.wait_until(task, "COMPLETED")
    client.tool("iterate_task", task=task, instructions="Write two.txt")
    second = client.wait_until(task, "COMPLETED")
    delivered = git(repository, "rev-parse", second["branch"])

    history = client.tool("get_history", task=task)["snapshots"]
    assert [s["iteration"] for s in history] == sorted(s["iteration"] for s in history)
    assert all("files" in s for s in history)
    ends = [s for s in history if s["when"] == "at the end"]
    assert [s["iteration"] for s in ends] == [1, 2]
    after = next(s for s in history if s["when"] == "after implement")
    assert (after["files"], after["added"]) == (1, 1)
    shown = client.tool("get_history", task=task, snapshot=after["id"])
    assert "+one" in shown["diff"]["patch"]

    begun = client.tool(
        "iterate_task", task=task, instructions="Another way", from_snapshot=ends[0]["id"]
    )["task"]
    assert (begun["status"], begun["iteration"]) == ("ITERATING", 3)
    done = client.wait_until(task, "COMPLETED")

    names = git(repository, "ls-tree", "--name-only", done["branch"]).splitlines()
    assert {"one.txt", "three.txt"} <= set(names)
    assert "two.txt" not in names
    assert git(repository, "show", f"{done['branch']}:one.txt") == "one"
    assert git(repository, "merge-base", delivered, done["branch"]) == delivered
    assert git(repository, "show", f"{delivered}:two.txt") == "two"
    diff = client.tool("get_diff", task=task)["changes"]
    assert {f["path"] for f in diff["paths"]} == {"one.txt", "three.txt"}

    later = client.tool("get_history", task=task)["snapshots"]
    assert [s["id"] for s in later[: len(history)]] == [s["id"] for s in history]
    client.tool("iterate_task", task=task, instructions="As it was", from_snapshot=ends[1]["id"])
    last = client.wait_until(task, "COMPLETED")
    names = git(repository, "ls-tree", "--name-only", last["branch"]).splitlines()
    assert "two.txt" in names
    assert git(repository, "show", f"{last['branch']}:one.txt") == "x"
