"""What a workflow does, as a tree, as lines of a terminal and as labels of a diagram."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agent_runner.workflow.conditions import parse
from agent_runner.workflow.loader import load_workflow, parse_workflow
from rover_mcp.cli.terminal_text import Paint, width_of
from rover_mcp.cli.workflow_text import workflow_lines
from rover_mcp.tasks.workflow_mermaid import mermaid_label, workflow_mermaid
from rover_mcp.tasks.workflow_tree import condition_text, workflow_nodes

WORKFLOWS = Path(__file__).parents[3] / "workflows"
FLOW = """\
version: "1.0"
name: flow
description: What it is for.
inputs:
  - {name: word, required: true}
  - {name: count, type: number}
defaults: {tool: claude, model: opus}
config: {timeout: 90m}
steps:
  - id: look
    type: agent
    name: "Look\\u202e around"
    prompt: p
    read_only: true
    config: {timeout: 5m, retries: 2}
    outputs: [{name: sure, type: boolean}, {name: report, type: file, filename: r.md}]
  - {id: other, type: agent, prompt: p, tool: codex, commit: m, allow_failure: true}
  - id: rounds
    type: loop
    if: inputs.word != '' && inputs.count == 3 || steps.look.outputs.sure == true
    until: steps.check.outputs.success == true
    max_iterations: 4
    on_cycle: end
    verdict: "it fails"
    steps:
      - id: both
        type: parallel
        limit: 2
        steps:
          - {id: one, type: command, command: c}
          - {id: two, type: command, command: c, compare_with: one}
      - {id: check, type: command, command: c, verdict: v}
  - {id: again, type: loop, max_iterations: 1, steps: [{id: x, type: command, command: c}]}
"""


def lines(text: str, width: int | None = None) -> list[str]:
    paint = Paint(io.StringIO())
    paint.width = width
    return workflow_lines(parse_workflow(text, "flow.yaml"), paint)


def test_a_tree_has_the_steps_their_conditions_and_their_types() -> None:
    assert lines(FLOW) == [
        "flow",
        "What it is for.",
        "inputs: word (required), count (number)",
        "an agent step takes at most 1 h 30 min",
        "├─ look  Look\\u202e around: agent claude with opus, changes no files, at most 5 min, "
        "retries: 2",
        "│     outputs: sure (boolean), report (file r.md)",
        "├─ other: agent codex with opus, commits, may fail",
        "├─ rounds: loop, at most 4 times, ends if the files repeat, if it does not succeed, the "
        "result says so",
        "│  │  if: inputs.word != '' && inputs.count == 3 || steps.look.outputs.sure == true",
        "│  │  until: steps.check.outputs.success == true",
        "│  ├─ both: parallel, at most 2 at once",
        "│  │  ├─ one: command",
        "│  │  └─ two: command, compared with one",
        "│  └─ check: command, if it does not succeed, the result says so",
        "└─ again: loop, once",
        "   └─ x: command",
    ]


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("width", [40, 80])
def test_every_line_of_a_tree_fits_into_the_terminal(path: Path, width: int) -> None:
    shown = lines(path.read_text(), width)
    assert [line for line in shown if width_of(line) > width] == []
    for step in load_workflow(path).steps:
        assert any(f"─ {step.id}" in line for line in shown)


@pytest.mark.parametrize(
    "text",
    [
        "inputs.a == b",
        "inputs.a != ''",
        "inputs.a == ' x '",
        "steps.a.outputs.b == c && inputs.d != e || inputs.f == g && inputs.h == i",
    ],
)
def test_a_condition_is_shown_as_it_was_written(text: str) -> None:
    assert condition_text(parse(text)) == text
    assert parse(str(condition_text(parse(text)))) == parse(text)


def test_nothing_in_a_label_means_anything_to_mermaid() -> None:
    assert mermaid_label('a"b#1;<i>%%\x1b') == "a#34;b#35;1#59;#60;i#62;#37;#37;#92;x1b"
    assert mermaid_label("Größe 3: (x) = 'y'") == "Größe 3: (x) = 'y'"
    assert mermaid_label("x" * 500) == "x" * 199 + "#8230;"


def test_a_diagram_shows_both_ways_of_a_condition_and_a_loops_way_back() -> None:
    diagram = workflow_mermaid(parse_workflow(FLOW, "flow.yaml"))
    nodes = workflow_nodes(parse_workflow(FLOW, "flow.yaml"))
    assert [node.id for node in nodes] == ["look", "other", "rounds", "again"]
    question = "inputs.word != '' #38;#38; inputs.count == 3 #124;#124; steps.look.outputs.sure"
    assert f'  n4{{"{question} == true"}}\n' in diagram
    assert '  n4 -->|"yes"| n5\n' in diagram
    assert '  n5[["rounds<br/>loop, at most 4 times"]]\n' in diagram
    assert '-->|"no: again"| n5\n' in diagram
    assert '-->|"yes, or 4 times done"|' in diagram
    assert diagram.count("subgraph") == diagram.count("  end\n") == 3
