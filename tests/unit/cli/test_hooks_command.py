"""`rover hooks`: what a person sees."""

from __future__ import annotations

from typing import Any

import pytest

from rover_mcp.cli.command_line import main

DELIVERY = f"msg_{'0' * 32}"
HOOK = {
    "name": "desk", "kind": "desktop", "events": ["paused", "failed"], "problem": None,
    "pending": 1, "delivered": 2, "dead": 3,
}  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_the_list_says_how_each_does_and_what_is_wrong(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    client = fake(lambda _method, _params: {})
    assert main(["hooks", "list"]) == 0
    assert "No hooks." in shown(capsys)
    client.hooks = [HOOK, {**HOOK, "name": "bad", "problem": "no bus\x1b[2J"}]
    assert main(["hooks", "list"]) == 0
    out = shown(capsys)
    assert "✔ desk                 desktop  2 delivered, 1 pending, 3 dead" in out
    assert "paused, failed" in out
    assert "no bus" in out
    assert "\x1b[2J" not in out


@pytest.mark.parametrize(("error", "status"), [(None, 0), ("it ended with status 1", 1)])
def test_a_test_that_fails_is_told_by_the_exit_status(
    fake: Any, capsys: pytest.CaptureFixture[str], error: str | None, status: int
) -> None:
    told = {"name": "desk", "error": error, "output": "said this" if error else ""}
    client = fake(lambda _method, _params: {"tested": [told]})
    assert main(["hooks", "test", "desk"]) == status
    assert client.calls == [("rover/hooks", {"action": "test", "name": "desk"})]
    out = shown(capsys)
    assert (error or "delivered") in out
    assert ("said this" in out) == bool(error)


def test_the_dead_are_listed_with_how_to_try_them_again(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {
        "id": DELIVERY, "hook": "desk", "seq": 7, "task_id": "a" * 32, "attempts": 8,
        "ended_at": "2026-11-26T12:00:00+00:00", "error": "the answer was 503",
    }  # fmt: skip
    fake(lambda _method, _params: {"dead": [one]})
    assert main(["hooks", "dead"]) == 0
    out = shown(capsys)
    assert DELIVERY in out
    assert "8 tries" in out
    assert "the answer was 503" in out
    assert "rover hooks retry ID" in out
    fake(lambda _method, _params: {"dead": []})
    main(["hooks", "dead"])
    assert shown(capsys) == "No delivery was given up.\n"


def test_one_is_tried_again(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    client = fake(lambda _method, params: {"retrying": params["id"]})
    assert main(["hooks", "retry", DELIVERY]) == 0
    assert client.calls == [("rover/hooks", {"action": "retry", "id": DELIVERY})]
    assert shown(capsys) == f"{DELIVERY} is being retried.\n"
