"""The commands: which tool each calls, what it prints, how it ends. Issue 2, "CLI `rover`"."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.client import ToolFailed
from rover_mcp.cli.main import main
from rover_mcp.connect import DaemonUnavailable
from tests.unit.cli.conftest import task_json

Json = dict[str, Any]
ID = "a" * 32
CHANGES = {
    "files": 1,
    "added": 2,
    "removed": 0,
    "paths": [{"path": "a\x1b[2J.py", "added": 2, "removed": 0, "binary": False}],
    "truncated": False,
}


def answers(tool: str, _: Json) -> Json:
    task = {"task": task_json(), "attention": []}
    return {
        "list_tasks": {"tasks": [task_json()], "attention": []},
        "resume_task": {**task, "result": "resumed", "has_checkpoint": True},
        "get_logs": {
            "task_id": ID,
            "step": "plan",
            "text": "one\x1b[31m\ntwo",
            "truncated": False,
            "untrusted": True,
        },
        "get_diff": {"task_id": ID, "changes": CHANGES, "patch": "+x\n", "truncated": False},
        "list_workflows": {"workflows": [{"name": "swe", "source": "built-in"}]},
        "get_status": status(),
    }.get(tool, task)


def status() -> Json:
    return {
        "version": "0.1.0",
        "home": "/h",
        "engines": [
            {"name": "docker", "available": False, "reason": "no socket", "hint": "start it"},
            {"name": "bubblewrap", "available": True, "version": "0.8"},
        ],
        "agents": [{"name": "scripted", "installed": True, "signed_in": True}],
        "credentials": {"anthropic": False},
        "queue": {"running": 1, "queued": 2, "paused": 3, "limit": 4},
        "holds": [],
        "disk": {"free_bytes": 5_000_000_000},
        "attention": [],
    }


@pytest.mark.parametrize(
    ("line", "tool", "arguments"),
    [
        (["list"], "list_tasks", {"repo_path": "/here"}),
        (["list", "--all"], "list_tasks", {}),
        (
            ["list", "--status", "paused", "--status", "FAILED", "--limit", "3"],
            "list_tasks",
            {"status": ["PAUSED", "FAILED"], "repo_path": "/here", "limit": 3},
        ),
        (["inspect", "7"], "inspect", {"task": "7", "repo_path": str(Path.cwd())}),
        (["inspect", ID, "--full"], "inspect", {"task": ID, "detail": "full"}),
        (["inspect", "7", "--repo", "/r"], "inspect", {"task": "7", "repo_path": "/r"}),
        (["resume", ID], "resume_task", {"task": ID}),
        (["resume", ID, "--at-reset"], "resume_task", {"task": ID, "when": "at_reset"}),
        (["pause", ID], "pause_task", {"task": ID}),
        (["cancel", ID], "cancel_task", {"task": ID}),
        (
            ["logs", ID, "--step", "s", "--tail", "5"],
            "get_logs",
            {"task": ID, "step": "s", "tail": 5},
        ),
        (["diff", ID, "a", "b"], "get_diff", {"task": ID, "paths": ["a", "b"]}),
        (["diff", ID, "--stat"], "get_diff", {"task": ID, "stat_only": True}),
        (["workflows"], "list_workflows", {"repo_path": "/here"}),
        (["status"], "get_status", {}),
        (
            ["create", "do it", "--repo", "/r", "--input", "k=v=w", "--no-auto-resume"],
            "create_task",
            {
                "description": "do it",
                "repo_path": "/r",
                "inputs": {"k": "v=w"},
                "auto_resume": False,
            },
        ),
    ],
)
def test_a_command_is_one_tool_call(
    fake: Any, capsys: pytest.CaptureFixture[str], line: list[str], tool: str, arguments: Json
) -> None:
    client = fake(answers)
    assert main(line) == 0
    assert client.calls == [(tool, arguments)]
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("command", [["list"], ["inspect", ID], ["diff", ID], ["status"]])
def test_json_is_exactly_what_the_tool_returned(
    fake: Any, capsys: pytest.CaptureFixture[str], command: list[str], position: int
) -> None:
    client = fake(answers)
    assert main([*command[:position], "--json", *command[position:]]) == 0
    assert json.loads(capsys.readouterr().out) == answers(client.calls[0][0], {})


def test_no_output_for_people_steers_their_terminal(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(answers)
    for command in (["logs", ID], ["diff", ID], ["inspect", ID]):
        assert main(command) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_a_listing_shows_the_provider_and_the_retry_of_a_paused_task(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """ACCEPTANCE H6."""
    fake(answers)
    main(["list"])
    assert "credits, anthropic, goes on " in capsys.readouterr().out


def test_a_paused_task_says_why_since_when_and_how_to_stop_the_retry(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """ACCEPTANCE D10, K7."""
    fake(answers)
    main(["inspect", ID])
    out = capsys.readouterr().out
    assert "Paused (credits at anthropic, in step implement)" in out
    assert "balance too low" in out
    assert f"to stop that: rover pause {ID}" in out
    assert out.rstrip().endswith(f"Next: rover resume {ID}  add credits")
    assert "Implement  agent    interrupted" in out, "a paused task's step does not run"


def refuse(_tool: str, _arguments: Json) -> Json:
    call = {"tool": "inspect", "arguments": {"task": "3"}}
    raise ToolFailed("there is no task 9", code="unknown_task", hint="look", next_call=call)


def test_a_tool_error_says_what_to_do_on_stderr_with_status_1(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(refuse)
    assert main(["inspect", "9"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "rover: there is no task 9",
        "  look",
        "Next: rover inspect 3",
    ]


def test_a_tool_error_as_json_has_its_four_parts(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(refuse)
    assert main(["inspect", "9", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == {
        "code": "unknown_task",
        "message": "there is no task 9",
        "hint": "look",
        "next_call": {"tool": "inspect", "arguments": {"task": "3"}},
    }


def test_no_daemon_is_an_error_with_what_it_said(
    fake: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_tool: str, _arguments: Json) -> Json:
        raise DaemonUnavailable("it ended", "look there", "Traceback: boom")

    fake(unavailable)
    assert main(["status"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "Traceback: boom"
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "daemon_unavailable"


def test_the_description_may_come_from_stdin_and_the_script_from_a_file(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = fake(answers)
    (tmp_path / "s.yaml").write_text("steps: {}")
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin"))
    assert main(["create", "-", "--script", str(tmp_path / "s.yaml")]) == 0
    assert client.calls[0][1]["description"] == "from stdin"
    assert client.calls[0][1]["script"] == "steps: {}"
    assert main(["create", "x", "--script", str(tmp_path / "none")]) == 1
    assert main(["create", "x", "--input", "novalue"]) == 1


@pytest.mark.parametrize("line", [[], ["fly"], ["inspect"], ["demo", "--engine", "lxc"]])
def test_wrong_usage_has_a_status_of_its_own(line: list[str]) -> None:
    """2 says "paused"."""
    with pytest.raises(SystemExit) as caught:
        main(line)
    assert caught.value.code == 64


def test_doctor_is_ready_with_one_engine_and_one_agent(
    fake: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fake(answers)
    assert main(["doctor", "--home", str(tmp_path / "h")]) == 0
    out = capsys.readouterr().out
    assert "bubblewrap is used" in out
    assert "start it" in out, "what is missing says what to do"
    assert main(["doctor", "--home", str(tmp_path / "h"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ready"] is True


def test_doctor_fails_without_an_engine_or_a_data_folder(
    fake: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    none = status()
    none["engines"] = none["engines"][:1]
    fake(lambda _tool, _arguments: none)
    assert main(["doctor", "--home", str(tmp_path)]) == 1
    assert "no engine works" in capsys.readouterr().out
    assert main(["doctor", "--home", "/proc/no"]) == 1
    assert "set ROVER_HOME" in capsys.readouterr().out
