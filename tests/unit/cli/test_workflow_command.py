"""`rover workflow`: files are checked and described with no daemon anywhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from agent_runner.workflow.schema import workflow_schema
from rover_mcp.cli.client import McpClient
from rover_mcp.cli.command_line import main

GOOD = """\
version: "1.0"
description: Mend it.
inputs: [{name: test, required: true}, {name: word, default: x}]
steps:
  - id: l
    type: loop
    steps: [{id: c, type: command, command: make}]
"""


@pytest.fixture(autouse=True)
def no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_home: str) -> McpClient:
        raise AssertionError("a daemon was asked")

    monkeypatch.setattr(McpClient, "connect", never)


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_valid_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, "good.yaml", GOOD)
    bare = write(
        tmp_path,
        "bare.yaml",
        'version: "1.0"\nsteps: [{id: a, type: agent, prompt: "{{task.description}}"}]',
    )
    assert main(["workflow", "check", good, bare]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{good}: ok: good, 2 steps, inputs: test (required), word",
        f"{bare}: ok: bare, 1 step, no inputs",
    ]
    assert not err


def test_an_error_has_its_place_and_the_other_files_are_read_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """B4: with line and column, on stderr, and status 1."""
    bad = write(tmp_path, "bad.yaml", GOOD + "    until: steps.c.outputs.success ==\n")
    good = write(tmp_path, "good.yaml", GOOD)
    missing = str(tmp_path / "missing.yaml")
    assert main(["workflow", "check", bad, missing, str(tmp_path), good]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{good}: ok: good")
    assert err.splitlines() == [
        f"{bad}:8:38: until: a value is missing (write '' for an empty one)",
        f"{missing}: No such file or directory",
        f"{tmp_path}: Is a directory",
    ]


@pytest.mark.parametrize(("text", "status"), [(GOOD, 0), ("version: 2", 1)])
def test_a_dash_is_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, status: int
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["workflow", "check", "-"]) == status
    out, err = capsys.readouterr()
    assert (out + err).startswith("<stdin>:1:1: " if status else "<stdin>: ok: <stdin>")


def test_with_json_all_of_it_is_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path, "good.yaml", GOOD)
    bad = write(tmp_path, "bad.yaml", "[]")
    missing = str(tmp_path / "missing.yaml")
    assert main(["workflow", "check", "--json", good, bad, missing]) == 1
    out, err = capsys.readouterr()
    assert not err
    assert json.loads(out)["files"] == [
        {
            "file": good,
            "valid": True,
            "name": "good",
            "description": "Mend it.",
            "steps": 2,
            "inputs": [
                {"name": "test", "type": "string", "required": True, "description": ""},
                {"name": "word", "type": "string", "required": False, "description": "", "default": "x"},
            ],
            "warnings": [],
        },
        {
            "file": bad,
            "valid": False,
            "error": {"line": 1, "column": 1, "message": "the workflow must be a mapping"},
            "errors": [{"line": 1, "column": 1, "message": "the workflow must be a mapping"}],
        },
        {
            "file": missing,
            "valid": False,
            "error": {"message": "No such file or directory"},
            "errors": [{"message": "No such file or directory"}],
        },
    ]  # fmt: skip


def test_what_a_file_says_steers_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "evil.yaml", '"\\e[2Jx": 1\n')
    assert main(["workflow", "check", path]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workflow", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == workflow_schema()


@pytest.mark.parametrize("line", [["workflow"], ["workflow", "check"], ["workflow", "nope"]])
def test_wrong_usage_is_64(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(line)
    assert caught.value.code == 64
    assert "usage: rover workflow" in capsys.readouterr().err


NAMES_AGENTS = """\
version: "1.0"
defaults: {{tool: {0}}}
steps:
  - {{id: a, type: agent, tool: {1}, prompt: "{{{{task.description}}}}"}}
  - {{id: b, type: agent, tool: {2}, prompt: "{{{{task.description}}}}"}}
"""


def test_an_agent_that_there_is_not_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B4: each with its place and with what was meant; those of config.yaml count."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ROVER_HOME", str(home))
    own = "agent_programs: {mine: {acp: [mine, acp], provider: openai}}\n"
    (home / "config.yaml").write_text(own)
    good = write(tmp_path, "good.yaml", NAMES_AGENTS.format("claude", "codex", "mine"))
    bad = write(tmp_path, "bad.yaml", NAMES_AGENTS.format("claud", "codx", "zzzzzzzz"))
    assert main(["workflow", "check", good]) == 0
    assert main(["workflow", "check", bad]) == 1
    lines = sorted(capsys.readouterr().err.splitlines())
    assert lines[0] == f"{bad}:2:18: there is no agent 'claud' (did you mean 'claude'?)"
    assert lines[1] == f"{bad}:4:32: there is no agent 'codx' (did you mean 'codex'?)"
    assert lines[2].startswith(f"{bad}:5:32: there is no agent 'zzzzzzzz'; there are: claude, ")
    (home / "config.yaml").write_text("agent_program: {}\n")
    assert main(["workflow", "check", bad]) == 0, "which agents there are is not known then"
