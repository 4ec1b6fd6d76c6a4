"""The scripted agent: its script, its turns, its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.agents import UnknownAgent, agent_names, make_agent
from agent_runner.agents.scripted import ScriptError, load_script
from agent_runner.models import ExitCode, PauseReason
from tests.support.runs import RunFolders

FLOW = (
    'version: "1.0"\nname: w\nsteps:\n  - {id: s, type: agent, prompt: p, outputs: [{name: o}]}\n'
)


def test_a_missing_script_is_none_and_an_empty_one_has_no_steps(tmp_path: Path) -> None:
    assert load_script(tmp_path / "script.yaml") is None
    (tmp_path / "script.yaml").write_text("")
    script = load_script(tmp_path / "script.yaml")
    assert script is not None
    assert script.steps == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [", "not valid YAML"),
        ("steps: {s: []}", "steps.s"),
        ("steps: {s: [{dance: 1}]}", "dance"),
        ("steps: {s: [{edits: [{path: /etc/passwd, content: x}]}]}", "relative path"),
        ("steps: {s: [{edits: [{path: ../x, content: x}]}]}", "relative path"),
        ("steps: {s: [{edits: [{path: .git/config, content: x}]}]}", "relative path"),
        ("steps: {s: [{delay: -1}]}", "delay"),
        ("steps: {s: [{error: {status: 1}}]}", "message"),
        ("x" * 1_000_001, "larger than"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ScriptError, match=message):
        load_script(path)


def test_a_wrong_script_fails_the_step_with_its_reason(tmp_path: Path) -> None:
    p = RunFolders(tmp_path / "task", FLOW, "steps: {s: [{dance: 1}]}")
    assert p.start() is ExitCode.FAILED
    assert "script.yaml: steps.s.0.dance" in (p.state.error or "")


def test_a_turn_edits_runs_and_answers(tmp_path: Path) -> None:
    turn = """
steps:
  s:
    - say: two lines
      edits:
        - {path: "a dir/-n ame", content: "$(id)\\n"}
        - {path: "a dir/-n ame", append: more}
        - {path: README, delete: true}
      run: pwd; exit 3
      outputs: {o: true}
"""
    p = RunFolders(tmp_path / "task", FLOW, turn)
    assert p.start() is ExitCode.COMPLETED
    assert (p.work / "a dir/-n ame").read_text() == "$(id)\nmore"
    assert not (p.work / "README").exists()
    assert p.state.steps[0].outputs == {"o": "true"}
    for part in ("two lines", "deleted README", str(p.work), "exit status 3"):
        assert part in p.log("s")


def test_a_turn_can_read_a_file_or_a_folder(tmp_path: Path) -> None:
    """G9: a folder gives a listing; what cannot be read is told, and the turn goes on."""
    turns = "steps: {s: [{read: %s, run: mkdir -p d/sub}]}"
    p = RunFolders(tmp_path / "task", FLOW, turns % "README")
    assert p.start() is ExitCode.COMPLETED
    assert "read README\nbase\n" in p.log("s")
    q = RunFolders(tmp_path / "q", FLOW, turns % ".")
    assert q.start() is ExitCode.COMPLETED
    assert "read .\n. is a folder. It holds:\n.git/\n.gitignore\nREADME\n" in q.log("s")
    r = RunFolders(tmp_path / "r", FLOW, turns % "../x")
    assert r.start() is ExitCode.COMPLETED
    assert "cannot read ../x: it is not in the work tree\nexit status 0\n" in r.log("s")


def test_a_command_of_the_agent_s_that_was_killed_is_an_interruption(tmp_path: Path) -> None:
    """D8."""
    p = RunFolders(tmp_path / "task", FLOW, "steps: {s: [{run: kill -9 $$}, {say: done}]}")
    assert p.start() is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is PauseReason.INTERRUPTED
    assert p.start() is ExitCode.COMPLETED


def test_an_edit_that_is_not_possible_fails_the_step(tmp_path: Path) -> None:
    p = RunFolders(tmp_path / "task", FLOW, "steps: {s: [{edits: [{path: README/x, content: x}]}]}")
    assert p.start() is ExitCode.FAILED
    assert "could not edit" in (p.state.error or "")


def test_the_agents_are_known_by_name(tmp_path: Path) -> None:
    known = (
        "claude",
        "codex",
        "copilot",
        "cursor",
        "gemini",
        "goose",
        "opencode",
        "qwen",
        "scripted",
    )
    assert agent_names() == known
    assert make_agent("scripted", tmp_path).name == "scripted"
    with pytest.raises(UnknownAgent, match=r"known: claude, .*, scripted"):
        make_agent("nobody", tmp_path)


def test_steps_that_it_plays_at_the_same_time_lose_no_turn(tmp_path: Path) -> None:
    """F8: each step's count and session are there for the next attempt."""
    steps = "".join(f"      - {{id: s{n}, type: agent, prompt: go}}\n" for n in range(8))
    flow = 'version: "1.0"\nname: w\nsteps:\n  - id: all\n    type: parallel\n    limit: 8\n    steps:\n'
    place = RunFolders(tmp_path / "task", flow + steps, "steps: {s0: [{say: a}]}")
    assert place.start() is ExitCode.COMPLETED
    assert place.calls() == {f"s{n}": 1 for n in range(8)}


TYPED = """\
version: "1.0"
steps:
  - id: s
    type: agent
    prompt: p
    outputs:
      - {name: sure, type: boolean, required: true}
      - {name: count, type: number, required: true}
      - {name: word, required: true}
      - {name: report, type: file, filename: out/report.md, required: true}
  - id: l
    type: loop
    until: steps.r.outputs.found == false
    steps:
      - {id: r, type: agent, prompt: p, outputs: [{name: found, type: boolean, required: true}]}
"""


def test_without_a_script_every_output_has_a_value_of_its_type(tmp_path: Path) -> None:
    """D.13: so that it plays any workflow."""
    p = RunFolders(tmp_path / "task", TYPED)
    assert p.start() is ExitCode.COMPLETED
    outputs = {s.id: s.outputs for s in p.state.steps}
    assert outputs["s"] | {"report": "", "word": ""} == {
        "sure": "true", "count": "1", "word": "", "report": "",
    }  # fmt: skip
    assert outputs["s"]["report"]
    assert outputs["r"] == {"found": "false"}
    assert outputs["l"]["iterations"] == "1"
