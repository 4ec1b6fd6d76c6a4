"""Several tasks per verb, prune, logs that are followed, resume that is watched (C.10)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli import logs_command
from rover_mcp.cli.client import ToolFailed
from rover_mcp.cli.command_line import main
from rover_mcp.cli.logs_command import grown
from rover_mcp.cli.pager import page, pager_of
from tests.unit.cli.conftest import task_json

Json = dict[str, Any]


def of_tasks(refused: str = "") -> Any:
    def answer(tool: str, given: Json) -> Json:
        if given.get("task") == refused:
            raise ToolFailed("it is over", code="wrong_status", hint="look at it")
        number = int(given.get("task", "7")) if given.get("task", "7").isdigit() else 7
        task = task_json(number=number)
        if tool == "delete_task":
            return {"task": task["id"], "deleted": True, "items": [], "attention": []}
        return {"task": task, "attention": []}

    return answer


@pytest.mark.parametrize("verb", ["pause", "resume", "restart", "cancel", "delete"])
def test_a_verb_takes_several_tasks(
    fake: Any, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    client = fake(of_tasks())
    assert main([verb, "1", "2", "--json"]) == 0
    assert [given["task"] for _, given in client.calls] == ["1", "2"]
    assert {tool for tool, _ in client.calls} == {f"{verb}_task"}
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_a_task_that_is_refused_keeps_none_of_the_others(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    client = fake(of_tasks(refused="2"))
    assert main(["cancel", "1", "2", "3"]) == 1
    assert [given["task"] for _, given in client.calls] == ["1", "2", "3"]
    said = capsys.readouterr()
    assert "rover: 2\n" in said.err
    assert "it is over" in said.err
    assert "Task 3" in said.out


def test_one_task_is_one_result(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake(of_tasks())
    assert main(["pause", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"]["number"] == 1


def test_prune_says_first_and_deletes_over_all_pages(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(tool: str, given: Json) -> Json:
        if tool == "list_tasks":
            last = "cursor" in given
            made = task_json(number=2 if last else 1, id=("b" if last else "a") * 32, pause=None)
            return {"tasks": [made], "attention": [], **({} if last else {"next_cursor": "x"})}
        return {"task": given["task"], "deleted": True, "items": [], "attention": []}

    client = fake(answer)
    assert main(["prune"]) == 0
    assert "2 would be deleted" in capsys.readouterr().out
    assert all(tool == "list_tasks" for tool, _ in client.calls)
    assert client.calls[0][1]["status"] == ["COMPLETED", "MERGED", "PUSHED"]
    assert main(["prune", "--yes"]) == 0
    deleted = [given for tool, given in client.calls if tool == "delete_task"]
    assert [given["task"] for given in deleted] == ["a" * 32, "b" * 32]
    assert all(given["confirm"] is True for given in deleted)


def test_prune_of_nothing_says_so(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake(lambda *_: {"tasks": [], "attention": []})
    assert main(["prune", "--yes"]) == 0
    assert "Nothing to prune." in capsys.readouterr().out


def test_logs_are_followed_until_the_task_stops(
    fake: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(["one\n", "one\ntwo\n", "one\ntwo\nthree\n"])
    states = iter(["IN_PROGRESS", "IN_PROGRESS", "PAUSED"])

    def answer(tool: str, _: Json) -> Json:
        if tool == "inspect":
            return {"task": task_json(status=next(states))}
        return {"step": "plan", "text": next(texts), "truncated": False}

    fake(answer)
    monkeypatch.setattr(logs_command._follow, "__defaults__", (lambda _: None,))
    assert main(["logs", "7", "-f"]) == 0
    out = capsys.readouterr().out
    assert out.count("step plan") == 1
    assert out.endswith("one\ntwo\nthree\n")


def test_what_grew_is_found_where_the_beginning_is_left_out() -> None:
    assert grown("", "a\n") == "a\n"
    assert grown("a\nb\n", "a\nb\nc\n") == "c\n"
    assert grown("a\nb\n", "b\nc\n") in ("c\n", "b\nc\n")
    assert grown("x" * 300 + "end\n", "x" * 250 + "end\nmore\n") == "more\n"


def test_resume_is_watched(fake: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    done = task_json(status="COMPLETED", pause=None)
    result = {"task": task_json(), "result": "resumed", "has_checkpoint": True, "message": "on"}
    fake(lambda *_: {**result, "attention": []})
    monkeypatch.setattr("rover_mcp.cli.watch_command.watch", lambda *_: {"task": done})
    assert main(["resume", "7", "--watch"]) == 0
    assert "resumed" not in capsys.readouterr().out


def test_several_tasks_are_resumed_and_one_is_watched(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """C.10."""
    client = fake(of_tasks())
    assert main(["resume", "1", "2", "--agent", "codex"]) == 0
    assert [(given["task"], given["agent"]) for _, given in client.calls] == [
        ("1", "codex"), ("2", "codex"),
    ]  # fmt: skip
    assert main(["resume", "1", "2", "--watch"]) == 1
    assert "--watch follows one task" in capsys.readouterr().err
    assert len(client.calls) == 2


def test_the_pager_is_the_users_own_and_none_where_none_is_wanted(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert pager_of({"PAGER": "mine -x", **path}) == "mine -x"
    assert pager_of({"ROVER_PAGER": "", "PAGER": "mine", **path}) is None
    assert pager_of({"PAGER": "cat", **path}) is None
    assert pager_of({**path}) is None, "there is no less"


def test_the_pager_gets_the_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert page(["one", "two"], {"PAGER": f"{sys.executable} -c 'print(input())'"}) in (0, 1)
    assert "one" in capfd.readouterr().out
