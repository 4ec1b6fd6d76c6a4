"""What hooks are told, how it is signed, when it is repeated."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from rover_mcp.config.hooks import HookRetry
from rover_mcp.hooks import message as m
from rover_mcp.tasks.view_models import HookMessage
from tests.support.samples import event_row, task_row

NASTY = "\x1b[2J<b>rm -rf</b> $(id) `id`\n-u root \u202e\x00"


def message(title: str = "Fix the sum", error: str = "boom") -> HookMessage:
    return m.message_of(event_row("task.failed", "FAILED", error=error), task_row(title=title))


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The specification's own example: standard-webhooks/spec, and the vector of its libraries."""
    key = m.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = m.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_may_be_plain_text() -> None:
    text = "0123456789abcdef0123456789abcdef"
    assert m.key_of(f" {text}\n") == text.encode()
    told = m.headers(message(), b"{}", "msg_1", 1000.9, text.encode())
    expected = hmac.digest(text.encode(), b"msg_1.1000.{}", hashlib.sha256)
    assert told["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert (told["webhook-id"], told["webhook-timestamp"]) == ("msg_1", "1000")


def test_without_a_secret_there_is_no_signature() -> None:
    assert "webhook-signature" not in m.headers(message(), b"{}", "msg_1", 1000, None)


@pytest.mark.parametrize("secret", ["", "brief", "whsec_c2hvcnQ=", "whsec_?"])
def test_a_weak_or_broken_secret_is_refused(secret: str) -> None:
    with pytest.raises(m.BadSecret) as caught:
        m.key_of(secret)
    assert secret == "" or secret not in str(caught.value)


def test_the_body_tells_what_happened_and_of_what() -> None:
    told = json.loads(m.as_body(message()))
    assert told["type"] == "task.failed"
    assert told["data"]["summary"] == 'task 7 failed: "boom"'
    assert (told["data"]["title"], told["data"]["branch"], told["data"]["repo_path"]) == (
        "Fix the sum",
        "rover/7-fix-the-sum",
        "/repo",
    )
    assert "null" not in m.as_body(message()).decode()


def test_waits_grow_to_a_limit_and_end() -> None:
    retry = HookRetry(jitter=0)
    waits = [m.wait_after(tries, retry, 0.5) for tries in range(1, 9)]
    assert waits == [5, 25, 125, 625, 3125, 15625, 43200, None]
    assert m.wait_after(1, HookRetry(first=10, jitter=0.1), 1.0) == pytest.approx(11)
    assert m.wait_after(1, HookRetry(tries=1), 0) is None


def test_a_notification_is_text_and_neither_option_nor_markup() -> None:
    sent = m.notify_send("/usr/bin/notify-send", message(NASTY, NASTY))
    assert sent[1:4] == ["--app-name=Rover", "--urgency=critical", "--"]
    assert len(sent) == 6
    assert sent[4] == "Rover: task 7 of repo failed"
    assert "<" not in sent[5]
    assert "&lt;b&gt;" in sent[5]
    assert all(c.isprintable() for part in sent for c in part)


def test_on_a_mac_the_texts_are_arguments_of_a_script_that_never_changes() -> None:
    """No text becomes code."""
    one, two = (m.osascript("osascript", message(title)) for title in ("a", NASTY))
    assert one[:7] == two[:7]
    assert one[7:] == ["Rover: task 7 of repo failed", '"a": task 7 failed: "boom"']
    assert all(c.isprintable() for part in two for c in part)


def test_a_command_sees_no_key_and_no_text_of_an_agents() -> None:
    environment = {"PATH": "/bin", "HOME": "/h", "ANTHROPIC_API_KEY": "sk", "ROVER_HOME": "/r"}
    seen = m.command_environment(environment, message(NASTY, NASTY), "msg_1")
    assert seen == {
        "PATH": "/bin",
        "HOME": "/h",
        "ROVER_DELIVERY": "msg_1",
        "ROVER_EVENT": "task.failed",
        "ROVER_STATUS": "FAILED",
        "ROVER_TASK": "0123456789abcdef0123456789abcdef",
    }
