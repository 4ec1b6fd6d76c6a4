"""How a pause is heard, in raw frames of both eras, by the real daemon."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from rover_mcp.tasks.contract import schemas
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, kill, wait_until
from tests.support.frames import LEGACY, MODERN, DaemonRestarted, Frame, LauncherClient
from tests.support.gates import GATE, open_gate
from tests.support.scripts import CREDITS, script

PAUSES = script(implement=[{"error": CREDITS}, {"say": "done"}])
GATED = script(implement=[{"run": GATE, "error": CREDITS}, {"say": "done"}])
CHANNEL = "notifications/claude/channel"


@pytest.fixture
def client(home: Path, repository: Path) -> Iterator[LauncherClient]:
    with LauncherClient(home, repository) as opened:
        yield opened


def configure(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(f"auto_resume: false\n{text}")


def create(client: LauncherClient, played: str = PAUSES) -> str:
    return client.tool(
        "create_task", description="Fix calc.add", agent="scripted", engine="bubblewrap",
        workflow="quick", script=played,
    )["task"]["id"]  # fmt: skip


def waited(client: LauncherClient, task: str) -> Frame:
    """What wait_for_task returns once the task pauses or ends."""
    while (said := client.tool("wait_for_task", task=task))["returned"] == "timeout":
        pass
    return said


def news(result: Frame) -> list[str]:
    return [event["event"] for event in result["attention"]]


def is_message(frame: Frame, event: str) -> bool:
    told = frame.get("method") == "notifications/message"
    return told and frame["params"]["data"]["event"] == event


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_news_that_went_down_with_a_connection_are_told_to_the_next(
    home: Path, repository: Path, era: str
) -> None:
    """The launcher is killed right after the answer that told it; once another request has
    proved that it arrived, nobody is told again."""
    with LauncherClient(home, repository) as first:
        first.open(era)
        task = create(first)
        said = waited(first, task)
        # What the result shows is not repeated beside it.
        assert (said["task"]["status"], news(said)) == ("PAUSED", [])
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with LauncherClient(home, repository) as second:
        second.open(era)
        assert news(second.tool("list_tasks")) == ["task.paused"]
        assert news(second.tool("list_tasks")) == []
    with LauncherClient(home, repository) as third:
        third.open(era)
        assert news(third.tool("list_tasks")) == []
        events = third.tool("inspect", task=task, detail="full")["events"]
    told = {event["event"]: event.get("told", {}) for event in events}
    assert "attention" in told["task.paused"]
    assert "wait_for_task" in told["task.paused"]
    assert told["task.created"] == {}
    for event in events:
        jsonschema.validate(event, schemas()["event.schema.json"])


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_events_that_a_dead_daemon_left_unacknowledged_are_sent_again(
    home: Path, client: LauncherClient, era: str
) -> None:
    client.open(era)
    task = create(client)
    assert waited(client, task)["task"]["status"] == "PAUSED"
    pid = daemon_pid(home)
    kill(pid)
    wait_until(lambda: not is_alive(pid), "it is dead")
    try:
        result = client.tool("list_tasks")
    except DaemonRestarted:
        result = client.tool("list_tasks")
    assert news(result) == ["task.paused"]


def test_every_event_of_a_run_is_pushed_and_is_what_the_schema_says(
    client: LauncherClient,
) -> None:
    client.open(LEGACY)
    client.request("logging/setLevel", {"level": "debug"})
    task = create(client, GATED)
    uri = f"rover://tasks/{task}"
    client.request("resources/subscribe", {"uri": uri})
    open_gate(client.home, task)
    client.wait_until(task, "PAUSED")
    client.tool("resume_task", task=task)
    client.wait_until(task, "COMPLETED")
    client.wait_for(lambda f: is_message(f, "task.completed"))
    told = [f["params"]["data"] for f in client.notifications("notifications/message")]
    for event in told:
        jsonschema.validate(event, schemas()["event.schema.json"])
    kinds = {event["event"] for event in told}
    assert {"task.started", "task.step", "task.paused", "task.resumed", "task.completed"} <= kinds
    seqs = [event["seq"] for event in told]
    assert seqs == sorted(set(seqs))
    assert {
        f["params"]["uri"] for f in client.notifications("notifications/resources/updated")
    } == {uri}
    assert client.notifications(CHANNEL) == []
    events = client.tool("inspect", task=task, detail="full")["events"]
    paused = next(e for e in events if e["event"] == "task.paused")
    assert {"notifications/message", "notifications/resources/updated"} <= set(paused["told"])


def test_a_pause_is_pushed_to_its_maker_after_the_daemon_was_killed(
    home: Path, client: LauncherClient
) -> None:
    """The launcher's session goes on with another daemon, which knows whose task it is."""
    client.open(LEGACY)
    task = create(client)
    client.wait_until(task, "PAUSED")
    pid = daemon_pid(home)
    kill(pid)
    wait_until(lambda: not is_alive(pid), "it is dead")
    wait_until(lambda: daemon_pid(home) != pid, "the launcher has started another")
    # Nothing is told to a session before it is there again.
    wait_until(lambda: "result" in client.request("ping"), "its session is there again")
    with LauncherClient(home, client.home.parent / "repo") as other:
        other.open(LEGACY)
        other.tool("cancel_task", task=task)
        client.wait_for(lambda f: is_message(f, "task.cancelled"))


def test_what_a_listening_client_is_told_is_recorded(client: LauncherClient) -> None:
    client.open(MODERN)
    task = create(client)
    uri = f"rover://tasks/{task}"
    wanted = {"notifications": {"resourceSubscriptions": [uri]}}
    client.start_request("subscriptions/listen", wanted)
    client.wait_for(lambda f: f.get("method") == "notifications/subscriptions/acknowledged")
    client.wait_until(task, "PAUSED")
    client.tool("cancel_task", task=task)
    wait_until(lambda: "notifications/resources/updated" in told_of(client, task), "recorded")
    assert client.notifications("notifications/message") == [], "not asked for in this era"


def told_of(client: LauncherClient, task: str) -> Frame:
    events = client.tool("inspect", task=task, detail="full")["events"]
    return next(e.get("told", {}) for e in events if e["event"] == "task.cancelled")


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_the_claude_channel_is_not_there_unless_it_is_wanted(
    home: Path, client: LauncherClient, era: str
) -> None:
    configure(home, "")
    capabilities = client.open(era)["capabilities"]
    assert "claude/channel" not in capabilities.get("experimental", {})


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_the_claude_channel_tells_notable_events_in_words_of_our_own(
    home: Path, client: LauncherClient, era: str
) -> None:
    """14-9: it is declared by `server/discover` too."""
    configure(home, "claude_channel: true\n")
    capabilities = client.open(era)["capabilities"]
    assert capabilities["experimental"] == {"claude/channel": {}}
    task = create(client)
    frame = client.wait_for(lambda f: f.get("method") == CHANNEL)
    assert frame["params"]["meta"]["event"] == "task.paused"
    assert frame["params"]["content"] == (
        f"Rover: task 1 paused (credits); it is PAUSED now. "
        f'Call inspect with {{"task": "{task}"}} for details, and tell the user.'
    )
    client.wait_until(task, "PAUSED")
    assert len(client.notifications(CHANNEL)) == 1, "steps are none"
