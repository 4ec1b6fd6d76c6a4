"""The user's hooks, with the real daemon: told, repeated, not lost with it, given up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rover_mcp.tasks.contract import schemas
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, kill, wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.hook_receiver import HookReceiver, ReceivedRequest
from tests.support.scripts import CREDITS, script

SECRET = b"0123456789abcdef0123456789abcdef"
PAUSES = script(implement=[{"error": CREDITS}, {"say": "done"}])
SOON = {"tries": 3, "first": 0.2, "most": 0.4, "jitter": 0}


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as made:
        yield made


def configure(home: Path, *hooks: dict[str, Any], **more: Any) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "secret").write_bytes(SECRET)
    text = {"hooks": list(hooks), "hook_retry": SOON, "auto_resume": False, **more}
    (home / "config.yaml").write_text(yaml.safe_dump(text))


def webhook(home: Path, receiver: HookReceiver, **more: Any) -> dict[str, Any]:
    file = str(home / "secret")
    return {"kind": "webhook", "url": receiver.url, "secret_file": file, **more}


def pause(client: LauncherClient) -> str:
    """A task that pauses for credits; its id."""
    made = client.tool(
        "create_task", description="Fix calc.add", agent="scripted", engine="bubblewrap",
        workflow="quick", script=PAUSES,
    )["task"]  # fmt: skip
    client.wait_until(made["id"], "PAUSED")
    return made["id"]


def rover(home: Path, *words: str) -> Frame:
    done = subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(home), "--json", *words],
        capture_output=True, text=True, timeout=HANG_SECONDS, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def verified(request: ReceivedRequest) -> Frame:
    """The message, once its signature was checked as a receiver would."""
    told = request.headers
    signed = f"{told['webhook-id']}.{told['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert told["webhook-signature"] == f"v1,{expected}"
    message = json.loads(request.body)
    jsonschema.validate(message, schemas()["hook-message.schema.json"])
    return message


def listed(home: Path) -> list[tuple[str, int, int]]:
    """Each hook's name, and how many messages were delivered and given up."""
    hooks = rover(home, "hooks", "list")["hooks"]
    return [(h["name"], h["delivered"], h["dead"]) for h in hooks]


def test_the_address_of_a_webhook_stands_in_no_log(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    """Once it did: the HTTP library wrote it into daemon.log. Here it is
    written neither on success nor on failure, nor at the level debug."""
    well = webhook(home, receiver, name="well") | {"url": f"{receiver.url}/s3cret-path?k=s3cret"}
    badly = {**well, "name": "badly", "url": "http://127.0.0.1:9/services/s3cret-path?k=s3cret"}
    configure(home, well, badly, log={"level": "debug"})
    with LauncherClient(home, repository) as client:
        client.open()
        pause(client)
        wait_until(lambda: receiver.requests, "the first has been told")
        wait_until(lambda: rover(home, "hooks", "dead")["dead"], "the other has been given up")
    text = "".join(path.read_text("utf-8") for path in home.glob("daemon.log*"))
    assert "HTTP Request: POST http://127.0.0.1" in text, "that there was a request is written"
    assert "s3cret" not in text


def test_a_pause_and_an_end_are_told_to_a_webhook_and_a_command(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    seen = home.parent / "seen"
    command = {"kind": "command", "run": ["sh", "-c", f"cat >> {seen}"]}
    configure(home, webhook(home, receiver), command)
    with LauncherClient(home, repository) as client:
        client.open()
        task = pause(client)
        client.tool("resume_task", task=task)
        client.wait_until(task, "COMPLETED")
        wait_until(lambda: len(receiver.requests) == 2, "both were told")
        paused, completed = map(verified, receiver.requests)
        wait_until(lambda: seen.exists() and seen.read_text().count("\n") == 2, "the command too")
        assert [json.loads(line) for line in seen.read_text().splitlines()] == [paused, completed]
        # What became of a delivery is recorded after it.
        wait_until(lambda: [d for _, d, _ in listed(home)] == [2, 2], "all are recorded")
        assert listed(home) == [("webhook", 2, 0), ("command", 2, 0)]
    assert (paused["type"], paused["data"]["reason"]) == ("task.paused", "credits")
    assert paused["data"]["resume"]["arguments"] == {"task": task}
    assert completed["type"] == "task.completed"
    assert completed["data"]["branch"].startswith("rover/1-")
    ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert len(ids) == 2


def test_a_500_is_repeated_under_the_same_id(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    receiver.answers = [500, 200]
    configure(home, webhook(home, receiver))
    with LauncherClient(home, repository) as client:
        client.open()
        pause(client)
        wait_until(lambda: len(receiver.requests) == 2, "it was repeated")
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert verified(first) == verified(second)


def test_what_a_killed_daemon_had_still_to_tell_is_told_by_the_next(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    """kill -9 while the receiver has the request and has not answered: at least once."""
    receiver.answers = [0]
    configure(home, webhook(home, receiver))
    with LauncherClient(home, repository) as client:
        client.open()
        pause(client)
        wait_until(lambda: receiver.requests, "it is under way")
        kill(daemon_pid(home))
        wait_until(lambda: len(receiver.requests) == 2, "the next daemon told it")
        client.tool("list_tasks")
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_what_happens_while_no_daemon_runs_is_reported_by_the_next_one(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    configure(home, idle_exit=0.2)
    with LauncherClient(home, repository) as client:
        client.open()
        pause(client)
        before = daemon_pid(home)
    wait_until(lambda: not is_alive(before), "it ended")
    configure(home, webhook(home, receiver, events=["paused", "cancelled"]))
    with LauncherClient(home, repository) as client:
        client.open()
        client.tool("cancel_task", task="1")
        wait_until(lambda: receiver.requests, "the end was told")
    assert [verified(r)["type"] for r in receiver.requests] == ["task.cancelled"]


def test_a_dead_delivery_is_listed_and_can_be_retried(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    receiver.always = 503
    configure(home, webhook(home, receiver), idle_exit=0.2)
    with LauncherClient(home, repository) as client:
        client.open()
        pause(client)
        wait_until(lambda: rover(home, "hooks", "dead")["dead"], "it was given up")
        [dead] = rover(home, "hooks", "dead")["dead"]
        assert (dead["attempts"], dead["error"]) == (3, "the answer was 503")
        assert len(receiver.requests) == 3
        receiver.always = 200
        assert rover(home, "hooks", "retry", dead["id"]) == {"retrying": dead["id"]}
        wait_until(lambda: len(receiver.requests) == 4, "it was tried again")
        wait_until(lambda: not rover(home, "hooks", "dead")["dead"], "it is no longer dead")
        assert "error" in rover(home, "hooks", "retry", dead["id"])
        pid = daemon_pid(home)
    wait_until(lambda: not is_alive(pid), "nothing keeps it")
    assert {r.headers["webhook-id"] for r in receiver.requests} == {dead["id"]}


def test_a_long_backoff_keeps_no_daemon_and_goes_on_with_the_next(
    home: Path, repository: Path, receiver: HookReceiver
) -> None:
    receiver.always = 503
    configure(home, webhook(home, receiver), idle_exit=0.2, hook_retry={"first": 3600, "jitter": 0})
    with LauncherClient(home, repository) as client:
        client.open()
        pause(client)
        wait_until(lambda: receiver.requests, "one try")
        pid = daemon_pid(home)
    wait_until(lambda: not is_alive(pid), "it ended")
    [hook] = rover(home, "hooks", "list")["hooks"]
    assert (hook["pending"], hook["dead"]) == (1, 0)
    assert len(receiver.requests) == 1


def test_hooks_can_be_tested(home: Path, receiver: HookReceiver) -> None:
    configure(home, webhook(home, receiver), {"kind": "command", "run": ["false"]})
    told = rover(home, "hooks", "test")["tested"]
    assert [(t["name"], t["error"]) for t in told] == [
        ("webhook", None),
        ("command", "it ended with status 1"),
    ]
    assert verified(receiver.requests[0])["type"] == "test"
