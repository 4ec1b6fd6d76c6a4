"""The main job, as an assistant does it: over the real launcher, daemon, control plane and
sandbox, with the scripted agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.processes import wait_until
from tests.support.frames import LEGACY, MODERN, LauncherClient, StartingClient
from tests.support.gates import GATE, open_gate
from tests.support.repos import FIXED, git
from tests.support.scripts import fix_after_credits, script

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]


MANY = 30
"""More tasks than begin before a sandbox is ready."""


def paused_task(client: LauncherClient, engine: str) -> dict[str, object]:
    task = client.tool(
        "create_task",
        description="Fix add",
        workflow="demo",
        agent="scripted",
        engine=engine,
        script=fix_after_credits(),
    )["task"]
    return client.wait_until(task["id"], "PAUSED")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_task_pauses_on_credits_resumes_and_is_delivered(
    client: LauncherClient, repository: Path, engine: str
) -> None:
    """D1, D10, F1, F4, H1, H2, H6, I3, N1."""
    before = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    paused = paused_task(client, engine)
    assert paused["engine"] == engine
    assert paused["pause"]["reason"] == "credits"
    assert paused["pause"]["provider"] == "anthropic"
    assert paused["pause"]["step"] == "implement"
    assert paused["pause"]["auto_resume"] is True
    assert paused["usage"]["cost_usd"] == pytest.approx(0.01)

    unfinished = git(repository, "log", "-1", "--format=%B", str(paused["branch"]))
    assert unfinished.startswith("Unfinished: Fix add")
    assert unfinished.endswith("Rover-Status: unfinished")
    assert git(repository, "show", f"{paused['branch']}:notes.txt") == "half"

    resumed = client.tool("resume_task", task=paused["id"])
    assert resumed["result"] == "resumed"
    assert resumed["has_checkpoint"] is True
    done = client.wait_until(paused["id"], "COMPLETED")

    assert [s["status"] for s in done["steps"]][:3] == ["completed"] * 3
    assert done["usage"]["cost_usd"] == pytest.approx(0.015)
    assert "OK" in client.tool("get_logs", task=done["id"], step="test")["text"]
    branch = done["branch"]
    assert git(repository, "show", f"{branch}:calc.py") == FIXED.strip()
    assert git(repository, "show", f"{branch}:notes.txt") == "half"
    assert "Unfinished" not in git(repository, "log", branch)
    diff = client.tool("get_diff", task=done["id"])
    assert {f["path"] for f in diff["changes"]["paths"]} >= {"calc.py", "notes.txt", "PLAN.md"}
    assert "+    return a + b" in diff["patch"]
    assert before == (
        git(repository, "status", "--porcelain"),
        git(repository, "rev-parse", "HEAD"),
    )
    starts = [r for r in journal(client, done) if r["type"] == "step_start"]
    assert [r["data"]["step"] for r in starts] == ["plan", "implement", "implement", "test"]


def test_a_later_task_of_a_project_takes_the_sandbox_that_was_made_ready(
    home: Path, repository: Path
) -> None:
    waiting, ready = home / "spares", set[str]()
    with StartingClient(home, repository) as client:
        client.open()
        tasks: list[str] = []
        # Some may come before one is ready, which is marked from when it is begun.
        while not ready & set(tasks) and len(tasks) < MANY:
            task = client.tool(
                "create_task", description="Fix add", workflow="quick", agent="scripted",
                engine="bubblewrap", script=script(),
            )["task"]  # fmt: skip
            tasks.append(task["id"])
            client.wait_until(task["id"], "COMPLETED")
            wait_until(lambda: any(waiting.glob("*")), "one is made ready")
            ready |= {marker.name for marker in waiting.glob("*")}
    assert ready & set(tasks)


def pauses_behind_a_gate() -> str:
    """As fix_after_credits, but nothing ends before the test has begun to listen."""
    steps = json.loads(fix_after_credits())["steps"]
    steps["plan"][0]["run"] = GATE
    return script(**steps)


def journal(client: LauncherClient, task: dict[str, object]) -> list[dict[str, object]]:
    path = client.home / "tasks" / str(task["id"]) / "iterations" / "1" / "run" / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_pause_is_heard_on_the_legacy_wire(client: LauncherClient, repository: Path) -> None:
    """`resources/updated` for what was subscribed, notifications/message, attention."""
    task = client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted",
        engine="bubblewrap", script=pauses_behind_a_gate(),
    )["task"]  # fmt: skip
    uri = f"rover://tasks/{task['id']}"
    assert client.request("resources/subscribe", {"uri": uri})["result"] == {}
    open_gate(client.home, task["id"])
    message = client.wait_for(
        lambda f: (
            f.get("method") == "notifications/message"
            and f["params"]["data"]["event"] == "task.paused"
        )
    )["params"]
    assert message["level"] == "warning"
    assert message["data"]["reason"] == "credits"
    assert message["data"]["resume"]["tool"] == "resume_task"
    client.wait_for(lambda f: f.get("method") == "notifications/resources/updated")
    assert client.notifications("notifications/resources/updated")[0]["params"] == {"uri": uri}
    told = client.tool("list_tasks")["attention"]
    assert [e["event"] for e in told] == ["task.paused"]
    assert (
        "attention" not in client.tool("list_tasks") or not client.tool("list_tasks")["attention"]
    )
    with LauncherClient(client.home, repository) as late:
        late.open()
        assert late.tool("list_tasks").get("attention", []) == []


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_create_pause_and_resume_in_both_eras(home: Path, repository: Path, era: str) -> None:
    """Both protocol eras, by raw frames."""
    with LauncherClient(home, repository) as client:
        opened = client.open(era)
        assert opened["serverInfo" if era == LEGACY else "supportedVersions"]
        task = client.tool(
            "create_task", description="Fix add", workflow="demo", agent="scripted",
            engine="bubblewrap", script=pauses_behind_a_gate(),
        )["task"]  # fmt: skip
        if era == MODERN:
            uri = f"rover://tasks/{task['id']}"
            listen = client.start_request(
                "subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}
            )
            client.wait_for(lambda f: f.get("method") == "notifications/subscriptions/acknowledged")
        open_gate(home, task["id"])
        paused = client.wait_until(task["id"], "PAUSED")
        assert paused["pause"]["reason"] == "credits"
        if era == MODERN:
            update = client.wait_for(lambda f: f.get("method") == "notifications/resources/updated")
            meta = update["params"]["_meta"]
            assert meta["io.modelcontextprotocol/subscriptionId"] == listen
            assert not client.notifications("notifications/message")
        assert client.tool("resume_task", task=task["id"])["result"] == "resumed"
        assert client.wait_until(task["id"], "COMPLETED")["progress"] == 100
