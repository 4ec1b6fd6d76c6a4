"""Conflicts of a rebase that an agent resolves: a task of its own does it, its answer is judged, and
it counts only once it was shown."""

from __future__ import annotations

from pathlib import Path

from tests.protocol.test_rebase import commit_on_main
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

BASE = "a\nb\nc\n"
TASKS, MAINS, BOTH = "a\ntask\nc\n", "a\nmain\nc\n", "a\nmain\ntask\nc\n"


def edits(content: str, path: str = "both.txt") -> dict[str, object]:
    return {"edits": [{"path": path, "content": content}]}


def conflicting(
    client: LauncherClient, repo: Path, name: str, *answers: dict[str, object]
) -> Frame:
    """A completed task that changed a line which main changes afterwards."""
    commit_on_main(repo, name, BASE)
    task = client.tool(
        "create_task", description=f"Change {name}", workflow="quick", agent="scripted",
        engine="bubblewrap",
        script=script(implement=[edits(TASKS, name)], resolve=list(answers)),
    )["task"]  # fmt: skip
    task = client.wait_until(task["id"], "COMPLETED")
    commit_on_main(repo, name, MAINS)
    return task


def state_of(repo: Path) -> tuple[str, str]:
    return git(repo, "for-each-ref"), git(repo, "status", "--porcelain")


def test_an_agent_resolves_and_a_person_looks_before_it_counts(shared: Path) -> None:
    """N2."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = conflicting(client, repo, "one.txt", edits(BOTH, "one.txt"))
        before = state_of(repo)
        shown = client.tool("rebase_task", task=task["id"])
        (offer,) = shown["next_actions"]
        assert offer["arguments"]["resolve"] is True
        begun = client.tool(offer["tool"], **offer["arguments"])
        resolver = begun["next_actions"][0]["arguments"]["task"]
        again = client.tool("rebase_task", task=task["id"], resolve=True)
        assert again["next_actions"] == begun["next_actions"], "a second call starts no second task"
        done = client.wait_until(resolver, "COMPLETED")
        assert state_of(repo) == before
        unseen = client.tool("rebase_task", task=task["id"], confirm=True)
        assert unseen["rebased"] is False, "nobody has seen it yet"
        assert state_of(repo) == before
        assert "+main\n+task" in unseen["resolution"]
        (look,) = done["next_actions"]
        shown = client.tool(look["tool"], **look["arguments"])
        assert "+main\n+task" in shown["resolution"]
        (confirm,) = shown["next_actions"]
        result = client.tool(confirm["tool"], **confirm["arguments"])
        assert result["rebased"] is True
        assert git(repo, "show", f"{task['branch']}:one.txt") == BOTH.strip()
        assert git(repo, "rev-parse", f"{task['branch']}^") == git(repo, "rev-parse", "main")
        assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 1
        merged = client.tool("merge_task", task=task["id"], mode="ff", confirm=True)
        assert merged["status"] == "MERGED"
