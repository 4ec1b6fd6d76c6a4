"""A remote that tasks are pushed to, without git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.push import PushKind, PushPlan, PushRequest

NEW, THERE = "2" * 40, "1" * 40
PLAN = PushPlan(
    repository="/repo", branch="rover/1-fix", remote="origin", address="https://forge.example/x",
    onto="rover/1-fix", new=NEW, there=None, way=PushKind.CREATE, commits=2, beyond=0,
    files=("calc.py",),
)  # fmt: skip


@dataclass
class FakePushes:
    """Keeps what it was asked for. `refusal` is raised in place of a push."""

    planned: PushPlan = PLAN
    refusal: Exception | None = None
    moves: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    recorded: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    arrived: bool = True
    """what `settle` finds"""

    def plan(
        self,
        task: TaskRow,
        request: PushRequest,
        recorded: Mapping[tuple[str, str], str],
        environ: Mapping[str, str],
    ) -> PushPlan:
        self.recorded = recorded
        return self.planned

    def carry_out(self, operation: str, move: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.moves.append(move)
        return "Create a pull request"

    def settle(self, operation: str, move: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
        self.environ = environ
        if self.refusal is not None:
            raise self.refusal
        return self.arrived
