"""The commands: which tool each calls, what it prints, how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rover_mcp import __version__
from rover_mcp.cli.client import ToolFailed
from rover_mcp.cli.command_line import function, main
from rover_mcp.cli.completion import parsers
from rover_mcp.cli.parser import build_parser
from rover_mcp.launcher.daemon_client import DaemonUnavailable
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
        "resume_task": {
            **task,
            "result": "resumed",
            "has_checkpoint": True,
            "message": "it goes on",
        },
        "set_auto_resume": {"enabled": False, "scope": "all", "changed": 2, "attention": []},
        "delete_task": {
            "task": ID,
            "deleted": False,
            "chosen": False,
            "items": [{"what": "work", "kept": False, "detail": "3 snapshots"}],
            "attention": [],
        },
        "merge_task": {
            "task": ID,
            "status": "COMPLETED",
            "merged": False,
            "into": "main",
            "message": "Nothing is merged yet.",
            "next_actions": [
                {"tool": "merge_task", "arguments": {"confirm": True}, "why": "do it"}
            ],
        },
        "push_task": {
            "task": ID,
            "status": "COMPLETED",
            "pushed": False,
            "remote": "origin",
            "branch": "rover/3-fix",
            "message": "Nothing is pushed yet.",
            "next_actions": [{"tool": "push_task", "arguments": {"confirm": True}, "why": "do it"}],
        },
        "rebase_task": {
            "task": ID,
            "status": "COMPLETED",
            "rebased": False,
            "onto": "main",
            "message": "Nothing is rebased yet.",
            "next_actions": [
                {"tool": "rebase_task", "arguments": {"confirm": True}, "why": "do it"}
            ],
        },
        "get_logs": {
            "task": ID,
            "step": "plan",
            "text": "one\x1b[31m\ntwo",
            "truncated": False,
            "untrusted": True,
        },
        "get_history": {
            "task": ID,
            "snapshots": [
                {
                    "id": "s4",
                    "at": "2026-11-23T12:00:00Z",
                    "iteration": 1,
                    "when": "after plan",
                    "files": 1,
                    "added": 2,
                    "removed": 0,
                    "commit": "c" * 12,
                }
            ],
            "diff": {"changes": CHANGES, "patch": "+x\n", "truncated": False},
        },
        "get_diff": {"task": ID, "changes": CHANGES, "patch": "+x\n", "truncated": False},
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
        "holds": [
            {
                "account": "anthropic-1a2b3c4d",
                "reason": "credits",
                "message": "balance too low",
                "since": "2026-11-23T12:00:00Z",
                "until": "2026-11-23T12:15:00Z",
                "waiting": 3,
                "probe": 7,
            }
        ],
        "auto_resume": {
            "off_for_all": True,
            "off_in_config": True,
            "off_in_projects": ["/a project"],
        },
        "disk": {"free_bytes": 5_000_000_000},
        "attention": [],
    }


@pytest.mark.parametrize(
    ("line", "tool", "arguments"),
    [
        (["list"], "list_tasks", {"repo_path": "/here", "limit": 20}),
        (["list", "--all"], "list_tasks", {"limit": 20, "all_projects": True}),
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
        (
            ["resume", ID, "--agent", "codex", "--budget-usd", "2.5", "--budget-tokens", "9"],
            "resume_task",
            {"task": ID, "agent": "codex", "budget_usd": 2.5, "budget_tokens": 9},
        ),
        (
            ["resume", ID, "--model", "sonnet"],
            "resume_task",
            {"task": ID, "model": "sonnet"},
        ),
        (["auto-resume", "off", ID], "set_auto_resume", {"enabled": False, "task": ID}),
        (
            ["auto-resume", "on", "7"],
            "set_auto_resume",
            {"enabled": True, "task": "7", "repo_path": str(Path.cwd())},
        ),
        (
            ["auto-resume", "off", "--project", "--repo", "/r"],
            "set_auto_resume",
            {"enabled": False, "scope": "project", "repo_path": "/r"},
        ),
        (
            ["auto-resume", "off", "--all"],
            "set_auto_resume",
            {"enabled": False, "scope": "all"},
        ),
        (["pause", ID], "pause_task", {"task": ID}),
        (["restart", ID], "restart_task", {"task": ID}),
        (
            ["iterate", ID, "Name it", "--comment", "a.py:3: why: so"],
            "iterate_task",
            {
                "task": ID,
                "instructions": "Name it",
                "comments": [{"file": "a.py", "line": 3, "text": "why: so"}],
            },
        ),
        (["history", ID], "get_history", {"task": ID}),
        (["history", ID, "s4"], "get_history", {"task": ID, "snapshot": "s4"}),
        (
            ["rewind", ID, "s4", "Name it"],
            "iterate_task",
            {"task": ID, "instructions": "Name it", "from_snapshot": "s4"},
        ),
        (["fork", ID], "fork_task", {"task": ID}),
        (
            ["fork", ID, "s4", "Name it", "--agent", "a,b"],
            "fork_task",
            {"task": ID, "snapshot": "s4", "instructions": "Name it", "agent": "a,b"},
        ),
        (
            ["fork", ID, "s4", "--agents", "a,b"],
            "fork_task",
            {"task": ID, "snapshot": "s4", "agents": "a,b"},
        ),
        (["choose", ID], "delete_task", {"task": ID, "others": True}),
        (["choose", ID, "--yes"], "delete_task", {"task": ID, "others": True, "confirm": True}),
        (["cancel", ID], "cancel_task", {"task": ID}),
        (["rebase", ID], "rebase_task", {"task": ID}),
        (
            ["rebase", ID, "--onto", "next", "--yes"],
            "rebase_task",
            {"task": ID, "onto": "next", "confirm": True},
        ),
        (["rebase", ID, "--resolve"], "rebase_task", {"task": ID, "resolve": True}),
        (["merge", ID], "merge_task", {"task": ID}),
        (
            ["merge", ID, "--into", "main", "--squash", "-m", "Fix", "--accept", "x", "--yes"],
            "merge_task",
            {
                "task": ID,
                "into": "main",
                "mode": "squash",
                "message": "Fix",
                "accept": ["x"],
                "confirm": True,
            },
        ),
        (["push", ID], "push_task", {"task": ID}),
        (
            ["push", ID, "--remote", "fork", "--branch", "fix", "--accept", "pre-push", "--yes"],
            "push_task",
            {
                "task": ID,
                "remote": "fork",
                "branch": "fix",
                "accept": ["pre-push"],
                "confirm": True,
            },
        ),
        (["delete", ID], "delete_task", {"task": ID}),
        (["delete", ID, "--yes"], "delete_task", {"task": ID, "confirm": True}),
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
            ["create", "do it", "--repo", "/r", "--agent", "claude,codex", "--budget-usd", "5"],
            "create_task",
            {
                "description": "do it",
                "repo_path": "/r",
                "agent": "claude,codex",
                "budget_usd": 5.0,
            },
        ),
        (
            ["create", "do it", "--repo", "/r", "--after", "3", "--base-branch", "task:3"],
            "create_task",
            {"description": "do it", "repo_path": "/r", "after": ["3"], "base_branch": "task:3"},
        ),
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


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (("rebase_task", {"task": "3", "confirm": True}), "To rebase it: rover rebase 3 --yes"),
        (
            ("rebase_task", {"task": "3", "resolve": True}),
            "To resolve it: rover rebase 3 --resolve",
        ),
        (("wait_for_task", {"task": "5"}), "To follow it: rover watch 5"),
    ],
)
def test_a_rebase_shows_how_conflicts_were_resolved_and_what_comes_next(
    fake: Any, capsys: pytest.CaptureFixture[str], action: tuple[str, Json], line: str
) -> None:
    """N2: what an agent wrote does nothing to the terminal."""
    tool, arguments = action
    result = {
        "task": ID, "rebased": False, "message": "Nothing yet.", "resolution": "+a\x1b[31m\n-b",
        "next_actions": [{"tool": tool, "arguments": arguments, "why": "do it"}],
    }  # fmt: skip

    def shown(tool: str, arguments: Json) -> Json:
        return result

    fake(shown)
    assert main(["rebase", ID]) == 0
    out = capsys.readouterr().out
    assert "untrusted" in out
    assert "\x1b[31m" not in out
    assert "  -b\n" in out
    assert out.strip().endswith(line)


@pytest.mark.parametrize(
    ("verb", "result", "next_line"),
    [
        ("rebase", {"rebased": False}, "To rebase it: rover rebase 3 --yes"),
        ("merge", {"merged": False}, "To merge it: rover merge 3 --yes"),
        ("push", {"pushed": False}, "To push it: rover push 3 --yes"),
    ],
)
def test_the_next_command_names_the_task_as_the_caller_did(
    fake: Any, capsys: pytest.CaptureFixture[str], verb: str, result: Json, next_line: str
) -> None:
    """The daemon names it by its id, which is right wherever it is read."""
    arguments = {"task": ID[:8], "confirm": True}
    action = {"tool": f"{verb}_task", "arguments": arguments, "why": "do it"}
    fake(lambda tool, arguments: {"task": ID, "message": "No.", "next_actions": [action], **result})
    assert main([verb, "3"]) == 0
    assert capsys.readouterr().out.strip().endswith(next_line)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("command", [["list"], ["inspect", ID], ["diff", ID], ["status"]])
def test_json_is_exactly_what_the_tool_returned(
    fake: Any, capsys: pytest.CaptureFixture[str], command: list[str], position: int
) -> None:
    client = fake(answers)
    assert main([*command[:position], "--json", *command[position:]]) == 0
    assert json.loads(capsys.readouterr().out) == answers(client.calls[0][0], {})


def test_the_stat_of_a_diff_lists_every_file(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A call lists some files only, and a list of names at the root had no way to the rest."""

    def some(_: str, arguments: Json) -> Json:
        offset = arguments.get("offset", 0)
        names = [f"file-{n}" for n in range(offset, min(offset + 50, 120))]
        paths = [{"path": name, "added": 1, "removed": 0, "binary": False} for name in names]
        changes = {"files": 120, "added": 120, "removed": 0, "paths": paths}
        return {"task": ID, "changes": {**changes, "truncated": offset + 50 < 120}}

    fake(some)
    assert main(["diff", ID, "--stat"]) == 0
    shown = capsys.readouterr().out
    assert [f"file-{n}" in shown.split() for n in range(120)] == [True] * 120
    assert "more" not in shown


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
    """H6."""
    fake(answers)
    main(["list"])
    assert "credits, anthropic, resumes at " in capsys.readouterr().out


def test_the_status_shows_waiting_accounts_and_switched_off_resumes(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """K5, K7, as people see them."""
    fake(answers)
    main(["status"])
    out = capsys.readouterr().out
    assert "Account anthropic-1a2b3c4d is closed (credits) since " in out
    assert "balance too low; 3 waiting; task 7 tries it now" in out
    assert "off for all tasks. On: rover auto-resume on --all" in out
    assert "off in config.yaml" in out
    assert "rover auto-resume on --project --repo '/a project'" in out


def test_a_paused_tasks_step_does_not_run(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What a pause says is in test_pauses.py."""
    fake(answers)
    main(["inspect", ID])
    out = capsys.readouterr().out
    assert "balance too low" in out
    assert "⏸ Implement  agent     interrupted" in out


@pytest.mark.parametrize("line", [["off"], ["on", ID, "--all"], ["off", "--project", "--all"]])
def test_a_switch_says_whose_it_is(
    fake: Any, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    client = fake(answers)
    assert main(["auto-resume", *line]) == 1
    assert client.calls == []
    err = capsys.readouterr().err
    assert "give exactly one of TASK, --project and --all" in err
    assert f"rover auto-resume {line[0]} --all" in err


def test_a_resume_that_goes_on_by_itself_or_runs_already_is_none(fake: Any) -> None:
    """I3, K4."""
    for result in ("resumed", "scheduled", "already_resuming"):
        done = {"task": task_json(), "result": result, "has_checkpoint": True, "message": "m"}
        fake(lambda _tool, _arguments, done=done: done)
        assert main(["resume", ID]) == 0


@pytest.mark.parametrize("command", [["list"], ["--json", "list"], ["workflow", "schema"]])
def test_a_full_disk_behind_the_output_is_an_error_without_a_trace(command: list[str]) -> None:
    """`rover list > /dev/full`."""
    code = (
        "import sys\n"
        "from rover_mcp.cli import client, command_line\n"
        "class Fake:\n"
        "    server, answer = {}, None\n"
        "    def call(self, *a, **k): return {'tasks': []}\n"
        "    def close(self): pass\n"
        "client.McpClient.connect = lambda home, **_: Fake()\n"
        f"sys.exit(command_line.main({command!r}))\n"
    )
    command = [sys.executable, "-c", code]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "rover: No space left on device\n"


def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        "from rover_mcp.cli import command_line\n"
        "sys.exit(command_line.main(['list']))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("rover: the current folder does not exist any more\n")


def test_a_reader_that_has_gone_is_no_error() -> None:
    """`rover list | head`."""
    code = "import sys; from rover_mcp.cli.command_line import main; sys.exit(main(['workflow', 'schema']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert (command.stderr.read(), command.wait()) == (b"", 0)


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


def test_doctor_names_a_hook_that_cannot_work_and_is_ready_all_the_same(
    fake: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fake(answers).hooks = [
        {"name": "desktop", "events": ["paused"], "problem": "there is no session bus"},
        {"name": "log", "events": ["paused", "failed"], "problem": None},
    ]
    assert main(["doctor", "--home", str(tmp_path / "h")]) == 0
    out = capsys.readouterr().out
    assert "– hook desktop           there is no session bus" in out
    assert "✔ hook log               paused, failed" in out


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


def test_what_may_be_left_out_is_not_called_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diff"])
    assert capsys.readouterr().err.endswith("the following arguments are required: TASK\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["lst"], "unknown command 'lst'; did you mean 'list'?"),
        (["zzz"], "unknown command 'zzz'; choose from: demo,"),
        (["create", "x", "--engine", "dcker"], "unknown --engine 'dcker'; did you mean 'docker'?"),
        (["rm", "1", "--y"], "rover delete: unknown option '--y'; did you mean '--yes'?"),
        (["--versions"], "rover: unknown option '--versions'; did you mean '--version'?"),
        (["list", "one"], "rover list: unexpected argument 'one'"),
        (["logs", "1", "--tail", "many"], "--tail: 'many' is not a number"),
    ],
)
def test_what_is_mistyped_is_corrected_and_never_guessed(
    fake: Any, capsys: pytest.CaptureFixture[str], line: list[str], said: str
) -> None:
    """An abbreviated --yes would delete."""
    client = fake(answers)
    with pytest.raises(SystemExit) as caught:
        main(line)
    assert caught.value.code == 64
    assert said in capsys.readouterr().err
    assert client.calls == []


@pytest.mark.parametrize(
    ("alias", "command"),
    [("ls", "list"), ("ps", "list"), ("show", "inspect"), ("stop", "pause"), ("rm", "delete")],
)
def test_the_words_of_other_programs_do_the_same(fake: Any, alias: str, command: str) -> None:
    arguments = [] if command == "list" else [ID]
    calls: list[object] = []
    for word in (alias, command):
        client = fake(answers)
        main([word, *arguments])
        calls.append(client.calls)
    assert calls[0] == calls[1] != []


def test_help_and_version_are_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"rover {__version__}\n"
    with pytest.raises(SystemExit) as caught:
        main(["help", "delete"])
    assert caught.value.code == 0
    assert "--yes" in capsys.readouterr().out


def test_every_command_has_a_function() -> None:
    """They are named, not imported, before one runs."""
    found = [str(p.get_default("run")) for p in parsers(build_parser()) if p.get_default("run")]
    assert len(found) > 40
    assert all(callable(function(name)) for name in found)


def test_help_imports_nothing_of_a_command() -> None:
    code = "import sys; from rover_mcp.cli.command_line import main; main(['--help'])"
    after = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
    argv = [sys.executable, "-c", after + code]
    ran = subprocess.run(argv, check=True, capture_output=True, text=True)
    loaded = set(ran.stderr.split())
    assert not loaded & {
        "pydantic",
        "importlib.metadata",
        "subprocess",
        "rover_mcp.cli.tool_commands",
    }
