"""A user's repository in which tasks' branches are rebased, without git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent_runner.models import Snapshot
from rover_mcp.control.control_ports import NextRound
from rover_mcp.domain.iteration import IterationInput, ResolutionRound
from rover_mcp.domain.task_links import ResolvesFor
from rover_mcp.store.rebase_notes import RebaseNote
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.rebase import RebasePlan

BASE, ONTO, OLD, NEW = "0" * 40, "1" * 40, "2" * 40, "3" * 40
PLAN = RebasePlan(
    repository="/repo", branch="rover/1-fix", base_branch="main", onto=ONTO, stands_on=BASE,
    old=OLD, new=NEW, tree="4" * 40, commits=2, dropped=0, beyond=0, collapsed=False, local=True,
    contained=False, work_tree=None,
)  # fmt: skip
NOTE = RebaseNote(
    snapshot=Snapshot(sequence=7, commit=NEW, tree="4" * 40, bundle="000007.bundle", head=NEW),
    old=OLD, onto=ONTO, base_branch="main",
)  # fmt: skip


@dataclass
class FakeRebases:
    """Keeps what it was asked for. `refusal` is raised in place of a move, `unwritable` in place of
    a record."""

    planned: RebasePlan = PLAN
    refusal: Exception | None = None
    unwritable: Exception | None = None
    kept: list[bool] = field(default_factory=list[bool])
    moves: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    records: list[RebaseNote] = field(default_factory=list[RebaseNote])
    discarded: list[RebaseNote] = field(default_factory=list[RebaseNote])
    conflicts: list[RebasePlan] = field(default_factory=list[RebasePlan])
    resolvers: list[str] = field(default_factory=list[str])
    remembered: list[RebasePlan] = field(default_factory=list[RebasePlan])
    shown: list[str] = field(default_factory=list[str])
    moved: bool = True
    """what `settle` finds"""

    def plan(self, task: TaskRow, onto: str | None, *, keep: bool) -> RebasePlan:
        self.kept.append(keep)
        return replace(self.planned, base_branch=onto or self.planned.base_branch)

    def was_shown(self, task: TaskRow, plan: RebasePlan) -> bool:
        return plan.new in self.shown

    def note_shown(self, task: TaskRow, plan: RebasePlan) -> None:
        self.shown.append(plan.new)

    def remember(self, task: TaskRow, plan: RebasePlan) -> None:
        self.remembered.append(plan)

    def resolver(self, task: TaskRow) -> str | None:
        return self.resolvers[-1] if self.resolvers else None

    def begin_resolving(self, task: TaskRow, resolver: str, *, forget: bool) -> None:
        self.resolvers.append(resolver)

    def prepare(self, task: TaskRow, plan: RebasePlan) -> RebaseNote:
        return NOTE

    def keep_conflicts(self, task: TaskRow, plan: RebasePlan) -> None:
        self.conflicts.append(plan)

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.moves.append(move)

    def record(self, task: TaskRow, note: RebaseNote) -> None:
        if self.unwritable is not None:
            raise self.unwritable
        self.records.append(note)

    def discard(self, task: TaskRow, note: RebaseNote) -> None:
        self.discarded.append(note)

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        if self.refusal is not None:
            raise self.refusal
        return self.moved


@dataclass
class FakeConflictResolution:
    """Keeps which rebases were to be resolved, and by which new task."""

    links: dict[str, ResolvesFor] = field(default_factory=dict[str, ResolvesFor])

    def first(self, task: TaskRow, link: ResolvesFor, new_id: str) -> NextRound:
        self.links[new_id] = link
        given = IterationInput(round=ResolutionRound(stop="5" * 40), snapshot=NOTE.snapshot)
        return NextRound(given, {"conflicts": "both sides changed a line"})
