"""A user's repository into which tasks are merged, without git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.merge import MergePlan

OLD, SOURCE, NEW = "1" * 40, "2" * 40, "3" * 40
PLAN = MergePlan(
    repository="/repo", branch="rover/1-fix", into="main", source=SOURCE, old=OLD, tree="4" * 40,
    conflicts=(), files=("calc.py",), changed=1, commits=2, beyond=0, forward=True,
    contained=False, work_tree="/repo", hooks=(),
)  # fmt: skip


@dataclass
class FakeMerges:
    """Keeps what it was asked for. `refusal` is raised in place of a move."""

    found: MergePlan = PLAN
    refusal: Exception | None = None
    messages: list[str] = field(default_factory=list[str])
    moves: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    moved: bool = True
    """what `settle` finds"""

    def plan(self, task: TaskRow, into: str | None, hooks: Sequence[str]) -> MergePlan:
        there = [name for name in hooks if name in self.found.hooks]
        return replace(self.found, into=into or self.found.into, hooks=there)

    def commit(
        self, plan: MergePlan, parents: Sequence[str], message: str, environ: Mapping[str, str]
    ) -> str:
        self.messages.append(message)
        return NEW

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.moves.append(move)

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        if self.refusal is not None:
            raise self.refusal
        return self.moved
