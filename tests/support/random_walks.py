"""Workflows of any shape, what their steps do at each place, and how two runs of them compare.

What a step does depends on where it stands and on nothing else, so that a run which was cut can
be held against one that was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import anyio
import anyio.lowlevel

from agent_runner.journal.record_lines import RecordType
from agent_runner.run.interpreter import LeafRun
from agent_runner.run.step import StepResult
from agent_runner.workflow.conditions import Condition
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    LoopStep,
    OnCycle,
    ParallelStep,
    Step,
    walk,
)
from tests.support.walks import Act, Place, SimulatedRun, fails, session, when

WORDS = ("x", "y")


@dataclass
class WorkflowGenerator:
    """Grows steps. `seen` are the ids that a condition may name: of steps at the same time, only
    those of its own branch."""

    chance: random.Random
    left: int
    seen: list[str] = field(default_factory=list)
    count: int = 0

    def steps(self, depth: int, *, parallel: bool) -> tuple[Step, ...]:
        return tuple(self.step(depth, parallel=parallel) for _ in range(self.chance.randint(1, 3)))

    def step(self, depth: int, *, parallel: bool) -> Step:
        self.count += 1
        step_id = f"s{self.count}"
        self.left -= 1
        kinds = ["agent", "command", "command"]
        kinds += ["loop", "loop", "parallel"] if depth and self.left > 0 else []
        common = {
            "condition": self.condition() if self.chance.random() < 0.25 else None,
            "allow_failure": self.chance.random() < 0.2,
        }
        kind = self.chance.choice(kinds)
        if kind == "loop":
            step: Step = self.loop(step_id, depth, common, parallel=parallel)
        elif kind == "parallel":
            step = self.both(step_id, depth, common)
        elif kind == "agent":
            step = AgentStep(step_id, step_id, "p", **common)
        else:
            step = CommandStep(step_id, step_id, "true", **common)
        self.seen.append(step_id)
        return step

    def loop(
        self, step_id: str, depth: int, common: dict[str, object], *, parallel: bool
    ) -> LoopStep:
        body = self.steps(depth - 1, parallel=parallel)
        cycle = OnCycle.IGNORE if parallel else self.chance.choice(list(OnCycle))
        return LoopStep(
            step_id,
            step_id,
            body,
            until=self.condition() if self.chance.random() < 0.8 else None,
            max_iterations=self.chance.randint(0, 3),
            on_cycle=cycle,
            **common,
        )

    def both(self, step_id: str, depth: int, common: dict[str, object]) -> ParallelStep:
        before, inside, branches = self.seen, [], []
        for _ in range(self.chance.randint(1, 3)):
            self.seen = list(before)
            branches.append(self.step(depth - 1, parallel=True))
            inside += self.seen[len(before) :]
        self.seen = before + inside
        limit = self.chance.randint(1, 3)
        return ParallelStep(step_id, step_id, tuple(branches), limit=limit, **common)

    def condition(self) -> Condition | None:
        if not self.seen:
            return None
        operator = self.chance.choice(["==", "!="])
        step_id, word = self.chance.choice(self.seen), self.chance.choice(WORDS)
        return when(f"steps.{step_id}.outputs.word {operator} {word}")


def steps_of(seed: int) -> tuple[Step, ...]:
    grower = WorkflowGenerator(random.Random(seed), left=8)
    return grower.steps(3, parallel=False)


def acting(seed: int, failing: float = 0.15) -> Act:
    """What each step does: a little work, a change of the tree, an output, or a failure."""

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        step_id = turn.step.id
        chance = random.Random(repr((seed, step_id, place)))
        files = walk.tree.files
        if isinstance(turn.step, AgentStep) and turn.interrupted is None:
            turn.recorder.append(RecordType.AGENT_SESSION, session(step_id), flush=True)
        # Half-done work is to be seen only where a step goes on in the middle, or shares the tree.
        going_on = walk.plan is not None and walk.plan.interrupted
        dirty = not going_on and not shares(walk, step_id) and f"half of {step_id}" in files
        files[f"half of {step_id}"] = "half"
        for _ in range(chance.randint(0, 3)):
            await anyio.lowlevel.checkpoint()
        del files[f"half of {step_id}"]
        files[step_id] = chance.choice(WORDS) + " and dirty" * dirty
        outputs = {"word": chance.choice(WORDS), "place": repr(place)}
        if chance.random() < failing:
            raise fails(f"failed at {place}", **outputs)
        return StepResult(outputs)

    return act


def shares(walk: SimulatedRun, step_id: str) -> bool:
    """Whether other steps may work in the tree while this one does."""
    tree = parents(walk.workflow.steps)
    around = [tree[name][0] for name, _ in way((step_id, ()), tree)]
    return any(isinstance(step, ParallelStep) for step in around)


def parents(steps: Sequence[Step]) -> dict[str, tuple[Step, Step | None]]:
    by_id = {step.id: step for step, _ in walk(steps)}
    return {s.id: (s, by_id[p] if p else None) for s, p in walk(steps)}


def at_the_same_time(
    one: tuple[str, Place], other: tuple[str, Place], tree: dict[str, tuple[Step, Step | None]]
) -> bool:
    """Whether two ends of steps may come in any order: two branches of one parallel step."""
    mine, its = list(way(one, tree)), list(way(other, tree))
    for (step, turn), (its_step, its_turn) in zip(mine, its, strict=False):
        if (step, turn) != (its_step, its_turn):
            parent = tree[step][1]
            return step != its_step and isinstance(parent, ParallelStep)
    return False


def way(
    end: tuple[str, Place], tree: dict[str, tuple[Step, Step | None]]
) -> Iterator[tuple[str, int]]:
    """From the workflow's own list down to the step: each step with its iteration on the way."""
    step_id, place = end
    turns = dict(place)
    found = [step_id]
    while (parent := tree[found[-1]][1]) is not None:
        found.append(parent.id)
    for name in reversed(found):
        yield name, turns.get(name, 0)


def assert_same_order(
    mine: Sequence[tuple[str, Place]], whole: Sequence[tuple[str, Place]], steps: Sequence[Step]
) -> None:
    tree = parents(steps)
    assert sorted(mine) == sorted(whole)
    position = {end: n for n, end in enumerate(mine)}
    for early, late in combinations(whole, 2):
        assert position[early] < position[late] or at_the_same_time(early, late, tree)
