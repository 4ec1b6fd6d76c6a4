"""A merge preview and the merge that follows have git merge once, as long as the result is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.daemon import host_merges
from rover_mcp.daemon.host_merges import HostMerges
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.git import branch_merge
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.store.records import TaskRow
from tests.integration.git.conftest import git
from tests.integration.git.push_stage import PushScenario, stage

__all__ = ["stage"]


def _nothing(
    view: RepositoryView, task: TaskRow, tip: str, there: Sequence[str]
) -> list[SecretMatch]:
    return []


@pytest.fixture
def merged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits into which git was asked to merge."""
    calls: list[str] = []

    def merge(view: RepositoryView, old: str, source: str) -> Any:
        calls.append(old)
        return branch_merge.merge(view, old, source)

    monkeypatch.setattr(host_merges, "merge", merge)
    return calls


def _commit(repo: Path, name: str, text: str = "main's\n") -> None:
    (repo / name).write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", f"write {name}")


def test_a_merge_is_kept_while_both_sides_stay(stage: PushScenario, merged: list[str]) -> None:
    """N3, N9"""
    _commit(stage.repo, "main.txt")
    merges = HostMerges(stage.repositories, _nothing)
    first = merges.plan(stage.task, "main", [])
    assert merges.plan(stage.task, "main", []) == first
    assert len(merged) == 1
    _commit(stage.repo, "more.txt")
    assert merges.plan(stage.task, "main", []).tree != first.tree
    stage.commit("task.txt")
    assert merges.plan(stage.task, "main", []).changed == 2
    attributes = stage.repo / ".git/info/attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("*.txt merge=union\n")
    merges.plan(stage.task, "main", [])
    assert len(merged) == 4


def test_a_merge_is_made_again_after_its_tree_was_removed(
    stage: PushScenario, merged: list[str]
) -> None:
    """N3: nothing refers to the tree of a preview."""
    _commit(stage.repo, "main.txt")
    merges = HostMerges(stage.repositories, _nothing)
    first = merges.plan(stage.task, "main", [])
    git(stage.repo, "gc", "-q", "--prune=now")
    assert git(stage.repo, "cat-file", "-t", str(first.tree), ok=False) != "tree"
    again = merges.plan(stage.task, "main", [])
    assert again == first
    assert git(stage.repo, "cat-file", "-t", str(again.tree)) == "tree"
    assert len(merged) == 2
