"""Finds what is valid in a workflow file and probably not what its author means. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from yaml.nodes import Node

from agent_runner.workflow.models import (
    Advice,
    AgentStep,
    CommandStep,
    LoopStep,
    ParallelStep,
    Step,
    Workflow,
    walk,
)
from agent_runner.workflow.references import Mention
from agent_runner.workflow.yaml_source import YamlSource

_AFTER = ("commit", "verdict")
"""Keys whose placeholders are replaced after the end of the step."""

_DESCRIPTION = re.compile(r"\{\{\s*(?:task|inputs)\.description\s*\}\}")
_WORD = re.compile(r"\s(?:and|or)\s+(?:steps|inputs)\.", re.IGNORECASE)


def advise(
    workflow: Workflow,
    source: YamlSource,
    mentions: Sequence[Mention],
    steps_at: Node,
    name_at: Node | None,
) -> list[Advice]:
    """What is probably not meant, in the order of the file. `steps_at` is the node of the steps,
    `name_at` the node of a name that differs from the file's."""
    advice: list[Advice] = []
    if name_at is not None:
        message = "tasks ask for a workflow by its file's name: name the file so, or leave this out"
        advice.append(Advice(*source.place(name_at), f"name {workflow.name!r}: {message}"))
    # The most expensive mistake: the agents work for an hour on a task that they have invented.
    if _agents(workflow) and not _tells_the_task(workflow):
        message = (
            "no step is given {{task.description}}, so the agents do not learn what the task is"
        )
        advice.append(Advice(*source.place(steps_at), message))
    advice += _always_empty(workflow, source, mentions)
    advice += _joined_by_words(workflow, source, mentions)
    return sorted(advice, key=lambda advice: (advice.line, advice.column))


def _agents(workflow: Workflow) -> bool:
    return any(isinstance(step, AgentStep) for step, _ in walk(workflow.steps))


def _tells_the_task(workflow: Workflow) -> bool:
    texts: list[str] = []
    for step, _ in walk(workflow.steps):
        if isinstance(step, AgentStep):
            texts.append(step.prompt)
        elif isinstance(step, CommandStep):
            texts += [step.command, *step.args]
    return any(map(_DESCRIPTION.search, texts))


def _always_empty(
    workflow: Workflow, source: YamlSource, mentions: Iterable[Mention]
) -> Iterator[Advice]:
    """Advice for names of outputs that never have a value where they are used. A text that several
    steps share through a YAML alias is right if it is right in one of them."""
    order = _Order(workflow)
    places: dict[tuple[int, int], list[Mention]] = {}
    for mention in mentions:
        if mention.step is not None:
            # An alias is the same node, so the identity of the node shows which mentions are one
            # text.
            places.setdefault((id(mention.node), mention.offset), []).append(mention)
    for same in places.values():
        if not any(order.may_be_there(mention) for mention in same):
            mention = same[0]
            yield Advice(*source.place(mention.node, mention.offset), _empty(mention))


def _empty(mention: Mention) -> str:
    what, step = mention.what, mention.step
    name = f"steps.{step}.outputs.{mention.name}"
    own = f"step {step!r} has not ended" if step == mention.where else f"step {step!r} ends later"
    if what == "until" and step != mention.where:
        return f"until: step {step!r} is not part of this loop and ends later, so {name} is empty"
    if what in ("if", "until"):
        return f"{what}: {own}, so {name} never has a value here: == is false, and != is true"
    return f"{what}: {{{{{name}}}}} is always empty here: {own}"


def _joined_by_words(
    workflow: Workflow, source: YamlSource, mentions: Iterable[Mention]
) -> Iterator[Advice]:
    """`a == true and b == true` compares with the text `true and b == true`."""
    steps = {step.id: step for step, _ in walk(workflow.steps)}
    for mention in mentions:
        if mention.what not in ("if", "until"):
            continue
        step = steps[mention.where]
        until = step.until if isinstance(step, LoopStep) else None
        condition = step.condition if mention.what == "if" else until
        for clause in condition.clauses if condition else ():
            if clause.offset == mention.offset and (joined := _WORD.search(clause.value)):
                word = "&&" if "and" in joined[0].lower() else "||"
                message = f"this compares with the text {clause.value[:80]!r}: join with {word}"
                yield Advice(
                    *source.place(mention.node, mention.offset), f"{mention.what}: {message}"
                )


@dataclass(frozen=True)
class _Place:
    step: Step
    number: int
    around: tuple[str, ...]
    """The steps around it, the outermost first."""


class _Order:
    """Which steps may have ended before another one begins."""

    def __init__(self, workflow: Workflow) -> None:
        places: dict[str, _Place] = {}
        for number, (step, parent) in enumerate(walk(workflow.steps)):
            around = (*places[parent].around, parent) if parent else ()
            places[step.id] = _Place(step, number, around)
        self._places: Mapping[str, _Place] = places

    def may_be_there(self, mention: Mention) -> bool:
        here, there = self._places[mention.where], self._places[mention.step or ""]
        # A commit message and a verdict are rendered when the step has ended, so its own outputs
        # are there.
        if mention.what in _AFTER and here.step.id in (there.step.id, *there.around):
            return True
        if mention.what == "until" and here.step.id in there.around:
            return True
        if self._repeated(here, there):
            return True
        inside = there.step.id in here.around
        return there.number < here.number and not inside and not self._beside(here, there)

    def _repeated(self, here: _Place, there: _Place) -> bool:
        """Whether a loop around both may run more than once."""
        both = (self._places[name].step for name in here.around if name in there.around)
        return any(isinstance(step, LoopStep) and step.max_iterations > 1 for step in both)

    def _beside(self, here: _Place, there: _Place) -> bool:
        """Whether they begin at the same time, in one parallel step."""
        if not here.around or here.around[-1] not in there.around:
            return False
        parallel = self._places[here.around[-1]].step
        return isinstance(parallel, ParallelStep) and here.step in parallel.steps[: parallel.limit]
