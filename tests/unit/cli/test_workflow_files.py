"""`rover workflow show | new | copy` and `rover create --dry-run`, with no daemon anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_runner.workflow.loader import check_workflow
from agent_runner.workflow.schema import ID, as_text
from rover_mcp.cli.client import McpClient
from rover_mcp.cli.command_line import main
from tests.support.repos import make_repository

WORKFLOWS = Path(__file__).parents[3] / "workflows"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def never(_home: str) -> McpClient:
        raise AssertionError("a daemon was asked")

    monkeypatch.setattr(McpClient, "connect", never)
    made = make_repository(tmp_path / "repo")
    monkeypatch.chdir(made)
    monkeypatch.setenv("ROVER_HOME", str(tmp_path / "home"))
    return made


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def test_a_first_workflow_is_right_and_editors_know_its_language(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D.13: with a modeline, and the schema that it names beside it."""
    out = said(capsys, "workflow", "new", "my-flow")
    path = repo / ".rover" / "workflows" / "my-flow.yaml"
    assert str(path) in out
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=workflow.schema.json\n")
    assert (path.parent / "workflow.schema.json").read_text() == as_text()
    assert json.loads(as_text())["$id"] == ID
    assert not check_workflow(text, str(path)).advice
    assert said(capsys, "workflow", "show", "my-flow", "--yaml") == text
    assert "└─ until_checked: loop, at most 3 times" in said(capsys, "workflow", "show", "my-flow")
    assert said(capsys, "workflow", "show", "my-flow", "--mermaid").startswith("flowchart TD\n")


def test_a_copy_takes_the_place_of_its_original_or_has_a_name_of_its_own(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D.13."""
    assert "which replaces the built-in one" in said(capsys, "workflow", "copy", "swe")
    shown = json.loads(said(capsys, "workflow", "show", "swe", "--json"))
    assert (shown["source"], shown["text"]) == ("project", (WORKFLOWS / "swe.yaml").read_text())
    said(capsys, "workflow", "copy", "quick", "brief", "--user")
    path = tmp_path / "home" / "workflows" / "brief.yaml"
    assert not check_workflow(path.read_text(), str(path)).advice
    assert json.loads(said(capsys, "workflow", "show", "brief", "--json"))["source"] == "user"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "quik"), "did you mean quick?"),
        (("copy", "quik"), "did you mean quick?"),
        (("new", "../x"), "cannot be a workflow's name"),
        (("copy", "quick", "a b"), "cannot be a workflow's name"),
    ],
)
def test_a_wrong_name_is_answered_with_one_that_works(
    repo: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main(["workflow", *words]) == 1
    assert told in capsys.readouterr().err
    assert not (repo / ".rover").exists()


def test_nothing_is_written_over_or_outside_of_a_repository(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "workflow", "new", "mine")
    (repo / ".rover" / "workflows" / "mine.yaml").write_text("mine")
    assert main(["workflow", "copy", "quick", "mine"]) == 1
    assert "exists" in capsys.readouterr().err
    assert (repo / ".rover" / "workflows" / "mine.yaml").read_text() == "mine"
    (repo / ".rover" / "workflows").rename(tmp_path / "elsewhere")
    (repo / ".rover" / "workflows").symlink_to(tmp_path / "elsewhere")
    assert main(["workflow", "new", "other"]) == 1
    assert "symbolic link" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["workflow", "new", "other"]) == 1
    assert "not in a git repository" in capsys.readouterr().err


def dry_run(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    made = json.loads(said(capsys, "create", "Fix it\nnow", "--dry-run", "--json", *words))
    steps: list[dict[str, Any]] = made["steps"]
    return steps


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_dry_run_comes_to_the_end_of_every_workflow(
    path: Path, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D.13."""
    needed = ("--input", "since=HEAD~1") if path.stem == "review" else ()
    steps = dry_run(capsys, "--workflow", path.stem, *needed)
    last = check_workflow(path.read_text(), str(path)).workflow.steps[-1]
    assert last.id in [step["step"] for step in steps]
    assert any("Fix it\nnow" in step.get("prompt", "") for step in steps)


DRY = """\
version: "1.0"
inputs: [{name: word, default: x}]
steps:
  - id: look
    type: agent
    prompt: "{{inputs.word}}: {{task.description}}"
    tool: codex
    outputs:
      - {name: sure, type: boolean}
      - {name: count, type: number}
      - {name: run}
      - {name: report, type: file, filename: r.md}
  - {id: other, type: command, command: c, if: inputs.word == y}
  - id: rounds
    type: loop
    until: steps.judge.outputs.verdict == fine
    max_iterations: 900
    steps:
      - {id: try, type: command, command: "bash -c {{steps.look.outputs.run}}"}
      - {id: judge, type: agent, prompt: p, outputs: [{name: verdict}]}
"""


def test_a_dry_run_makes_up_outputs_of_their_types_that_loops_wait_for(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D.13: of a file, too, that is no workflow of the repository."""
    Path("dry.yaml").write_text(DRY)
    look, no, rounds, first, tried, judge = dry_run(capsys, "--workflow", "dry.yaml")
    assert look["prompt"] == "x: Fix it\nnow"
    assert {k: look["outputs"][k] for k in ("sure", "count", "run")} == {
        "sure": "true", "count": "1", "run": "true",
    }  # fmt: skip
    assert (no["step"], no["what"]) == ("other", "skipped")
    assert (rounds["what"], first["what"], first["iteration"]) == ("begins", "iteration", 1)
    assert tried["command"] == "bash -c true"
    assert judge["outputs"] == {"verdict": "fine"}
    text = said(
        capsys, "create", "Fix it", "--dry-run", "--workflow", "dry.yaml", "--input", "word=y"
    )
    assert "look  agent codex, outputs sure, count, run, report\n    y: Fix it\n" in text
    assert "rounds  loop, at most 900 times\n" in text


def test_a_dry_run_of_many_rounds_ends(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dry.yaml").write_text(
        DRY.replace("judge.outputs.verdict == fine", "try.outputs.exit_code == 7")
    )
    assert "… and more" in said(capsys, "create", "x", "--dry-run", "--workflow", "dry.yaml")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--workflow", "quik"), "did you mean quick?"),
        (("--workflow", "none.yaml"), "No such file"),
        (("--workflow", "quick", "--input", "chek=1"), "unknown input 'chek'"),
    ],
)
def test_a_dry_run_with_a_mistake_says_which(
    repo: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main(["create", "x", "--dry-run", *words]) == 1
    assert told in capsys.readouterr().err
