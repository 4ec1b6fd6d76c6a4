"""An agent resolves the conflicts of a rebase in a container, round by round."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.frames import LauncherClient
from tests.support.podman_env import podman_host
from tests.support.repos import git
from tests.support.scripts import script

__all__ = ["podman_host"]

ENGINES = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
]
BASE, TASKS, MAINS = "a\nb\nc\n", "a\ntask\nc\n", "a\nmain\nc\n"
MARKED = "a\n<<<<<<< main\nmain\n=======\ntask\n>>>>>>> task\nc\n"
BOTH = "a\nmain\ntask\nc\n"


@pytest.fixture(autouse=True)
def podman_for_daemons(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman is started only for a test that uses it, and found by the daemon's environment."""
    if "podman" in request.node.name:
        monkeypatch.setenv("CONTAINER_HOST", request.getfixturevalue("podman_host"))


def commit(repository: Path, content: str) -> None:
    (repository / "one.txt").write_text(content)
    git(repository, "add", "one.txt")
    git(repository, "commit", "-q", "-m", content.splitlines()[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_conflicts_are_resolved_in_a_container(home: Path, repository: Path, engine: str) -> None:
    """N2: a bad answer does not count, and the round after it has a container of its own."""
    with LauncherClient(home, repository) as client:
        client.open()
        commit(repository, BASE)
        answers = [{"edits": [{"path": "one.txt", "content": text}]} for text in (MARKED, BOTH)]
        work = [{"edits": [{"path": "one.txt", "content": TASKS}]}]
        task = client.tool(
            "create_task", description="Change one.txt", workflow="quick", agent="scripted",
            engine=engine, script=script(implement=work, resolve=answers),
        )["task"]  # fmt: skip
        task = client.wait_until(task["id"], "COMPLETED")
        commit(repository, MAINS)
        before = git(repository, "for-each-ref"), git(repository, "status", "--porcelain")
        begun = client.tool("rebase_task", task=task["id"], resolve=True)
        resolver = client.wait_until(begun["next_actions"][0]["arguments"]["task"], "COMPLETED")
        assert (resolver["engine"], resolver["iteration"]) == (engine, 2)
        assert (git(repository, "for-each-ref"), git(repository, "status", "--porcelain")) == before
        shown = client.tool("rebase_task", task=task["id"])
        assert "+main\n+task" in shown["resolution"]
        assert client.tool("rebase_task", task=task["id"], confirm=True)["rebased"] is True
        assert git(repository, "show", f"{task['branch']}:one.txt") == BOTH.strip()
        assert git(repository, "rev-parse", f"{task['branch']}^") == git(
            repository, "rev-parse", "main"
        )
        assert client.tool("merge_task", task=task["id"], mode="ff", confirm=True)["merged"] is True
