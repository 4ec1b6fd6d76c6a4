"""Hooks of a project become steps of the run."""

from __future__ import annotations

from agent_runner.spec import StepHooks
from agent_runner.workflow.loader import parse_workflow
from agent_runner.workflow.models import CommandStep, Workflow, walk
from agent_runner.workflow.step_hooks import with_hooks

WORKFLOW = """\
version: "1.0"
name: w
steps:
  - {id: plan, type: agent, prompt: p}
  - {id: build, type: command, command: make}
  - id: mend
    type: loop
    steps:
      - {id: test, type: command, command: make test}
      - {id: fix, type: agent, prompt: f, if: steps.test.outputs.success == false}
  - id: both
    type: parallel
    steps:
      - {id: one, type: agent, prompt: a}
      - {id: two, type: command, command: b}
"""
HOOKS = StepHooks(before_agent=("a", "b"), after_step=("c",), after_task=("d",))


def ids(workflow: Workflow) -> list[str]:
    return [step.id for step, _ in walk(workflow.steps)]


def test_each_place_has_its_step() -> None:
    woven = with_hooks(parse_workflow(WORKFLOW, "f"), HOOKS)
    assert ids(woven) == [
        "before_agent-plan", "plan", "after_step-plan",
        "build", "after_step-build",
        "mend", "test", "after_step-test", "before_agent-fix", "fix", "after_step-fix",
        "before_agent-both", "both", "one", "two", "after_step-both",
        "after_task",
    ]  # fmt: skip
    steps = {step.id: step for step, _ in walk(woven.steps)}
    first, of_fix = steps["before_agent-plan"], steps["before_agent-fix"]
    assert isinstance(first, CommandStep)
    assert first.command == "set -e\na\nb"
    assert of_fix.condition == steps["fix"].condition is not None


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    workflow = parse_workflow(WORKFLOW.replace("id: build", "id: after_task"), "f")
    assert ids(with_hooks(workflow, HOOKS))[-1] == "after_task_"


def test_without_hooks_the_workflow_is_the_same() -> None:
    workflow = parse_workflow(WORKFLOW, "f")
    assert with_hooks(workflow, StepHooks()) is workflow
