"""The messages that hooks receive, how they are signed, and when a failed delivery is retried.
Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
from collections.abc import Mapping
from typing import Final

from agent_runner.models import Budget
from agent_runner.printable import only_printable
from rover_mcp.config.hooks import HookRetry
from rover_mcp.domain.usage_window import time_of
from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.tasks.quoted_text import printable, quoted
from rover_mcp.tasks.task_view import event_view
from rover_mcp.tasks.view_models import HookEventView, HookMessage

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # the prefix, not a secret
LEAST_SECRET_BYTES: Final = 24
GROWTH: Final = 5
SHOWN: Final = 300
"""Characters of a desktop notification."""


class BadSecret(ValueError):
    """A webhook's secret cannot be read or used; the message says why."""


def message_of(event: EventRow, task: TaskRow, most: Budget | None = None) -> HookMessage:
    """The event as its receivers see it. `most` is the user's own budget."""
    view = event_view(event, task, most).model_dump()
    news = HookEventView(
        **view, title=printable(task.title), branch=task.branch, repo_path=task.project_path
    )
    return HookMessage(type=news.event, timestamp=news.at, data=news)


def test_message(now: float) -> HookMessage:
    """What `rover hooks test` sends: a message about a task that does not exist."""
    news = HookEventView(
        seq=0,
        at=time_of(now),
        task="0" * 32,
        number=0,
        event="task.paused",
        status="PAUSED",  # pyright: ignore[reportArgumentType]  # pydantic reads it
        summary="this is a test of rover's hooks; no task is paused",
        title="a test",
        branch="rover/0-test",
        repo_path="/",
    )
    return HookMessage(type="test", timestamp=news.at, data=news)


def as_body(message: HookMessage) -> bytes:
    return message.model_dump_json(exclude_none=True).encode()


def key_of(secret: str) -> bytes:
    """The key in a secret: `whsec_<base64>`, or the bytes of the text.

    Raises:
        BadSecret: it is too short, or not base64.
    """
    text = secret.strip()
    try:
        coded = text.removeprefix(SECRET_PREFIX)
        key = base64.b64decode(coded, validate=True) if coded != text else text.encode()
    except binascii.Error as error:
        raise BadSecret("the secret begins with whsec_, but the rest is not base64") from error
    if len(key) < LEAST_SECRET_BYTES:
        raise BadSecret(f"the secret is shorter than {LEAST_SECRET_BYTES} bytes")
    return key


def signature(key: bytes, delivery: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature` (standardwebhooks.com, version 1)."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    # The identifier, the time and the body are signed together, so that none of them can be
    # exchanged.
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(
    message: HookMessage, body: bytes, delivery: str, now: float, key: bytes | None
) -> dict[str, str]:
    """The headers of a webhook's request. A repeat has the same `webhook-id`."""
    fields = {
        "content-type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(int(now)),
        "rover-event": message.type,
    }
    if key is not None:
        fields["webhook-signature"] = signature(key, delivery, int(now), body)
    return fields


def wait_after(tries: int, retry: HookRetry, chance: float) -> float | None:
    """Seconds until the next try after `tries` have failed; None where there is none. `chance` is a
    random number from 0 to 1."""
    if tries >= retry.tries:
        return None
    # With jitter, because all deliveries fail together when a receiver is down.
    wait = min(retry.most, retry.first * GROWTH ** (tries - 1))
    return wait * (1 + retry.jitter * chance)


def desktop_text(message: HookMessage) -> tuple[str, str]:
    """The title and the text of a notification: one line each, without anything that a terminal or
    a desktop would take for a command or for markup."""
    news = message.data
    what = message.type.removeprefix("task.").replace("_", " ")
    project = news.repo_path.rpartition("/")[2]
    title = f"Rover: task {news.number}{f' of {project}' if project else ''} {what}"
    text = f"{quoted(news.title)}: {news.summary}"
    return title, only_printable(" ".join(text.split()), "")[:SHOWN]


def notify_send(program: str, message: HookMessage) -> list[str]:
    """The notification as arguments of notify-send, which reads markup in the text; so that is
    escaped."""
    title, text = desktop_text(message)
    urgency = "normal" if message.type in ("task.completed", "test") else "critical"
    options = ["--app-name=Rover", f"--urgency={urgency}"]
    return [program, *options, "--", title, html.escape(text)]


_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


def osascript(program: str, message: HookMessage) -> list[str]:
    """The same on macOS, where the texts are arguments of the script and never part of it."""
    title, text = desktop_text(message)
    return [program, *(part for line in _SCRIPT for part in ("-e", line)), title, text]


# The daemon's own environment has the keys of providers.
def command_environment(
    environment: Mapping[str, str], message: HookMessage, delivery: str
) -> dict[str, str]:
    """The environment of a command: the basics of this machine, and what the message is about. It
    has no key, no token and no text that an agent wrote."""
    kept = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR")
    return {
        **{name: environment[name] for name in kept if name in environment},
        "ROVER_DELIVERY": delivery,
        "ROVER_EVENT": message.type,
        "ROVER_STATUS": message.data.status,
        "ROVER_TASK": message.data.task,
    }
