"""Adds a project's hooks to a workflow as steps, which are recorded and resumed as any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent_runner.spec import StepHooks
from agent_runner.workflow.conditions import Condition
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    LoopStep,
    ParallelStep,
    Step,
    Workflow,
    walk,
)


def with_hooks(workflow: Workflow, hooks: StepHooks) -> Workflow:
    """The workflow with a command step at each place that has a hook. Steps in a parallel step have
    no order, so their hooks are before and after the parallel step."""
    if hooks == StepHooks():
        return workflow
    woven = _HookInsertion(hooks, {step.id for step, _ in walk(workflow.steps)})
    steps = [*woven.steps(workflow.steps), *woven.hook("after_task", hooks.after_task)]
    return replace(workflow, steps=tuple(steps))


class _HookInsertion:
    def __init__(self, hooks: StepHooks, taken: set[str]) -> None:
        self._hooks = hooks
        self._taken = taken

    def steps(self, steps: Sequence[Step]) -> Iterator[Step]:
        for step in steps:
            # A loop's steps have hooks of their own, each time they run. The loop itself does no
            # work that a hook could follow.
            if isinstance(step, LoopStep):
                yield replace(step, steps=tuple(self.steps(step.steps)))
                continue
            if _has_agent(step):
                yield from self.hook(
                    "before_agent", self._hooks.before_agent, step.id, step.condition
                )
            yield step
            yield from self.hook("after_step", self._hooks.after_step, step.id, step.condition)

    def hook(
        self,
        place: str,
        commands: Sequence[str],
        step: str = "",
        condition: Condition | None = None,
    ) -> Iterator[CommandStep]:
        """One step with all commands of a place, which ends at the first that fails. It is skipped
        if the step that it belongs to is skipped."""
        if commands:
            yield CommandStep(
                id=self._name(f"{place}-{step}" if step else place),
                name=f"hook {place}" + (f" of {step}" if step else ""),
                # One script: a `cd` or an `export` holds for the commands after it.
                command="\n".join(["set -e", *commands]),
                condition=condition,
            )

    def _name(self, wanted: str) -> str:
        name = wanted
        # A workflow may already have a step with this name, and the journal knows steps by their
        # names alone.
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _has_agent(step: Step) -> bool:
    inside = step.steps if isinstance(step, ParallelStep) else (step,)
    return any(isinstance(inner, AgentStep) for inner, _ in walk(inside))
