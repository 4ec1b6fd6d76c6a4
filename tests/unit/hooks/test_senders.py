"""One try: a real receiver on loopback, real programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from rover_mcp.config.hooks import CommandHook, DesktopHook, WebhookHook
from rover_mcp.hooks.message import key_of, message_of, signature
from rover_mcp.hooks.senders import (
    OUTPUT_BYTES,
    CommandSender,
    DesktopSender,
    Outcome,
    WebhookSender,
)
from tests.e2e.processes import is_alive, wait_until
from tests.support.hook_receiver import HookReceiver
from tests.support.samples import event_row, task_row

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = message_of(event_row("task.failed", "FAILED", error="boom"), task_row())


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as made:
        yield made


def post(url: str, env: Mapping[str, str] | None = None, seconds: float = 10) -> Outcome:
    hook = WebhookHook(kind="webhook", url=url, secret_env="SECRET")
    environment = {"SECRET": SECRET} if env is None else env
    sender = WebhookSender(hook, environment, now=lambda: 1000.0, seconds=seconds)
    return anyio.run(sender.send, MESSAGE, "msg_1")


def call(*argv: str, seconds: float = 30, env: Mapping[str, str] | None = None) -> Outcome:
    hook = CommandHook(kind="command", run=argv)
    sender = CommandSender(hook, {"PATH": os.environ["PATH"], **(env or {})}, seconds)
    return anyio.run(sender.send, MESSAGE, "msg_1")


def test_a_webhook_gets_the_event_and_a_signature_of_exactly_that(receiver: HookReceiver) -> None:
    assert post(receiver.url) == Outcome()
    [request] = receiver.requests
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["rover-event"] == "task.failed"
    assert request.headers["content-type"] == "application/json"
    expected = signature(key_of(SECRET), "msg_1", 1000, request.body)
    assert request.headers["webhook-signature"] == expected
    assert json.loads(request.body)["data"]["task"] == MESSAGE.data.task


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_anything_but_2xx_is_a_failure_that_is_repeated(
    receiver: HookReceiver, status: int
) -> None:
    receiver.answers = [status]
    assert post(receiver.url) == Outcome(f"the answer was {status}")


def test_410_is_the_end(receiver: HookReceiver) -> None:
    receiver.answers = [410]
    assert post(receiver.url).final


def test_a_redirect_is_not_followed(receiver: HookReceiver) -> None:
    """Else a receiver could have us post anywhere."""
    receiver.answers = [307]
    receiver.location = receiver.url + "/elsewhere"
    assert post(receiver.url).error == "the answer was 307"
    assert len(receiver.requests) == 1


def test_a_receiver_that_says_nothing_has_a_limit(receiver: HookReceiver) -> None:
    receiver.answers = [0]
    assert post(receiver.url, seconds=0.2).error == "no answer within 0.2 s"


def test_a_receiver_that_is_not_there_is_a_failure_that_tells_no_address() -> None:
    with HookReceiver() as gone:
        url = gone.url + "/a-secret-path"
    done = post(url)
    assert done.error is not None
    assert "a-secret-path" not in done.error
    assert not done.final


def test_without_its_secret_nothing_is_sent(receiver: HookReceiver, tmp_path: Path) -> None:
    assert post(receiver.url, env={}).error == "the daemon's environment has no SECRET"
    missing = WebhookHook(kind="webhook", url=receiver.url, secret_file=str(tmp_path / "none"))
    sender = WebhookSender(missing, {})
    assert "cannot be read" in (anyio.run(sender.send, MESSAGE, "msg_1").error or "")
    assert "cannot be read" in (sender.problem() or "")
    assert receiver.requests == []


def test_the_secret_is_read_when_it_is_used(receiver: HookReceiver, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    hook = WebhookHook(kind="webhook", url=receiver.url, secret_file=str(file))
    sender = WebhookSender(hook, {})
    file.write_text(SECRET + "\n")
    assert sender.problem() is None
    assert anyio.run(sender.send, MESSAGE, "msg_1") == Outcome()
    assert "webhook-signature" in receiver.requests[0].headers


def test_a_proxy_of_the_machine_is_not_asked_for_this_machine(
    receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert post(receiver.url) == Outcome()


SHOW = "import os, sys, json; print(json.dumps([sys.argv[1:], dict(os.environ), sys.stdin.read(), os.getcwd()]))"


def test_a_command_gets_the_message_on_standard_input() -> None:
    done = call(sys.executable, "-c", SHOW, "$(id)", "a b", env={"ANTHROPIC_API_KEY": "sk"})
    assert done.error is None
    argv, environment, stdin, folder = json.loads(done.output)
    assert argv == ["$(id)", "a b"], "no shell has read it"
    assert json.loads(stdin)["type"] == "task.failed"
    assert "ANTHROPIC_API_KEY" not in environment
    assert environment["ROVER_DELIVERY"] == "msg_1"
    assert folder == str(Path.home())


def test_a_command_that_fails_says_how() -> None:
    done = call("sh", "-c", "echo no; echo why >&2; exit 3")
    assert done == Outcome("it ended with status 3", output="no\nwhy\n")


def test_a_command_may_leave_its_input_unread() -> None:
    assert call("true") == Outcome()


def test_a_program_that_is_not_there_is_a_failure() -> None:
    assert "cannot be started" in (call("no-such-program").error or "")
    sender = CommandSender(CommandHook(kind="command", run=("no-such-program",)), os.environ)
    assert sender.problem() == "program not found: no-such-program"
    assert CommandSender(CommandHook(kind="command", run=("sh",)), os.environ).problem() is None


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    done = call(
        "sh", "-c", f"sleep 600 & echo $! > {pids}; echo begun; sleep 600", seconds=10.0
    )  # fmt: skip
    assert time.monotonic() - began < 300
    assert done == Outcome("it did not end within 10 s", output="begun\n")
    assert_gone(int(pids.read_text()))


def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    """And what holds its output open keeps nobody waiting."""
    pids = tmp_path / "pids"
    assert call("sh", "-c", f"sleep 600 & echo $! > {pids}").error is None
    assert_gone(int(pids.read_text()))


def assert_gone(pid: int) -> None:
    """It was killed; the kernel may take a moment. By itself it would live for ten minutes."""
    wait_until(lambda: not is_alive(pid), "it is gone", 60)


def test_a_commands_output_is_cut() -> None:
    done = call(sys.executable, "-c", "print('x' * 1_000_000)")
    assert done.error is None
    assert len(done.output) == OUTPUT_BYTES


def test_a_desktop_that_is_not_there_is_told_and_not_tried_again(tmp_path: Path) -> None:
    hook = DesktopHook(kind="desktop")
    bare = DesktopSender(hook, {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}, "linux")
    assert "notify-send not found" in (bare.problem() or "")
    program = tmp_path / "notify-send"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    assert "no session bus" in (bare.problem() or "")
    done = anyio.run(bare.send, MESSAGE, "msg_1")
    assert done.final
    assert "no session bus" in (done.error or "")


def test_a_desktop_notification_reaches_the_session_bus(tmp_path: Path) -> None:
    """The program is called with the texts as they are shown, and the bus that it needs."""
    program, seen = tmp_path / "notify-send", tmp_path / "seen"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$DBUS_SESSION_BUS_ADDRESS" "$@" > {seen}\n')
    program.chmod(0o755)
    (tmp_path / "bus").touch()
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)}
    sender = DesktopSender(DesktopHook(kind="desktop"), environment, "linux")
    assert sender.problem() is None
    assert anyio.run(sender.send, MESSAGE, "msg_1") == Outcome(final=True)
    assert seen.read_text().splitlines() == [
        f"unix:path={tmp_path}/bus", "--app-name=Rover", "--urgency=critical", "--",
        "Rover: task 7 of repo failed", "&quot;Fix the sum&quot;: task 7 failed: &quot;boom&quot;",
    ]  # fmt: skip
