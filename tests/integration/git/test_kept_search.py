"""The previews of merges and pushes, and these themselves, search the same commits once, unless
what is looked for has changed meanwhile (N12)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rover_mcp.config.settings import Settings
from rover_mcp.daemon import task_secrets
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.redaction import SECRETS
from rover_mcp.daemon.task_secrets import TaskSecrets
from rover_mcp.git import outgoing
from rover_mcp.git.repository_view import opened
from rover_mcp.store.records import TaskRow
from tests.integration.git.conftest import git

VALUE = b"quite-a-secret-value-of-a-gateway"
TOKEN = "ghp" + "_" + "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6S7t8"


def test_a_search_is_kept_until_another_value_is_known(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N12"""
    base = git(repo, "rev-parse", "HEAD")
    (repo / "file").write_bytes(b"x = '" + VALUE + b"'\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "task's")
    looks, searches = _counted(monkeypatch, "is_clean"), _counted(monkeypatch, "search_for_secrets")
    secrets = TaskSecrets(tmp_path / "home", Credentials(Settings(home=tmp_path / "home")))
    task, tip = _task(base), git(repo, "rev-parse", "HEAD")
    with opened(repo) as view:
        assert [secrets.search(view, task, tip, [base]) for _ in range(2)] == [[], []]
        assert (len(looks), len(searches)) == (1, 0)
        SECRETS.add(VALUE.decode())
        for _ in range(2):
            assert [match.path for match in secrets.search(view, task, tip, [base])] == ["file"]
    assert (len(looks), len(searches)) == (2, 1)


def test_one_search_serves_every_branch_and_remote(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N12: unless it finds something, which one of them may have already."""
    base = git(repo, "rev-parse", "HEAD")
    git(repo, "switch", "-qc", "task")
    tip = _commit(repo, "file", "clean\n")
    git(repo, "switch", "-q", "main")
    moved = _commit(repo, "other", "main's\n")
    looks, searches = _counted(monkeypatch, "is_clean"), _counted(monkeypatch, "search_for_secrets")
    secrets = TaskSecrets(tmp_path / "home", Credentials(Settings(home=tmp_path / "home")))
    with opened(repo) as view:
        for there in ([base], [moved, base], [base, moved]):
            assert secrets.search(view, _task(base), tip, there) == []
        assert (len(looks), len(searches)) == (1, 0)
        git(repo, "switch", "-q", "task")
        git(repo, "rm", "-q", "file")
        tip = _commit(repo, "key", TOKEN)
        assert [m.path for m in secrets.search(view, _task(base), tip, [moved, base])] == ["key"]
        assert secrets.search(view, _task(base), tip, [tip, base]) == []


def test_the_commits_of_a_new_base_are_not_searched(repo: Path, tmp_path: Path) -> None:
    """N12: after a rebase most of what the branch adds to the task's base is not the task's."""
    base = git(repo, "rev-parse", "HEAD")
    onto = _commit(repo, "key", TOKEN)
    tip = _commit(repo, "file", "task's\n")
    secrets = TaskSecrets(tmp_path / "home", Credentials(Settings(home=tmp_path / "home")))
    with opened(repo) as view:
        assert secrets.search(view, _task(base, onto), tip, [onto, base]) == []
        assert [m.path for m in secrets.search(view, _task(base, onto), tip, [base])] == ["key"]


def _task(base: str, onto: str | None = None) -> TaskRow:
    row = SimpleNamespace(id="0" * 32, iteration=1, agent=None, base_commit=base, onto=onto)
    return cast("TaskRow", row)


def _commit(repo: Path, name: str, text: str) -> str:
    (repo / name).write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", f"write {name}")
    return git(repo, "rev-parse", "HEAD")


def _counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The commits that a function of the module is called for; it works as before."""
    calls: list[str] = []
    real = getattr(outgoing, name)

    def counted(*args: Any) -> Any:
        calls.append(args[1])
        return real(*args)

    monkeypatch.setattr(task_secrets, name, counted)
    return calls
