"""The workflow and the scripts that the tests of a whole run share."""

from __future__ import annotations

from pathlib import Path

from tests.support.runs import RunFolders

HEAD = 'version: "1.0"\nname: w\n'
FLOW = (
    HEAD
    + """
inputs: [{name: greeting, default: hello}]
steps:
  - id: plan
    type: agent
    prompt: plan {{task.title}}
    outputs: [{name: plan, required: true}]
  - id: work
    type: agent
    prompt: work on {{steps.plan.outputs.plan}}
    outputs: [{name: note}]
  - id: test
    type: command
    command: cat a.txt; echo {{inputs.greeting}} {{steps.work.outputs.note}}
  - id: never
    type: agent
    if: steps.test.outputs.success == false
    prompt: mend
"""
)
CREDITS = "{status: 400, type: invalid_request_error, message: Your credit balance is too low, provider: anthropic}"
PLAN = "plan: [{say: thinking, outputs: {plan: the plan}, usage: {input_tokens: 3, cost_usd: 0.5}}]"


def script(*work: str) -> str:
    return f"steps:\n  {PLAN}\n  work:\n" + "".join(f"    - {turn}\n" for turn in work)


GOOD = (
    "{edits: [{path: a.txt, content: one}, {path: d/b.txt, content: two}], outputs: {note: $(id)}}"
)
BROKE = f"{{edits: [{{path: a.txt, content: one}}], error: {CREDITS}, usage: {{input_tokens: 4}}}}"
REST = "{edits: [{path: d/b.txt, content: two}], outputs: {note: $(id)}}"


def place(
    tmp_path: Path, script_text: str | None = None, workflow: str = FLOW, **more: object
) -> RunFolders:
    return RunFolders(tmp_path / "task", workflow, script_text, **more)
