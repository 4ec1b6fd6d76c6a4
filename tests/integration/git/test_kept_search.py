"""A push preview and the push that follows search the same commits once, unless what is looked for
has changed meanwhile (N12)."""

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
from rover_mcp.git.outgoing import search_for_secrets
from rover_mcp.git.repository_view import opened
from rover_mcp.store.records import TaskRow
from tests.integration.git.conftest import git

VALUE = b"quite-a-secret-value-of-a-gateway"


def test_a_search_is_kept_until_another_value_is_known(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N12"""
    base = git(repo, "rev-parse", "HEAD")
    (repo / "file").write_bytes(b"x = '" + VALUE + b"'\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "task's")
    searches: list[str] = []

    def search(*args: Any) -> Any:
        searches.append(args[1])
        return search_for_secrets(*args)

    monkeypatch.setattr(task_secrets, "search_for_secrets", search)
    secrets = TaskSecrets(tmp_path / "home", Credentials(Settings(home=tmp_path / "home")))
    task = cast("TaskRow", SimpleNamespace(id="0" * 32, iteration=1, agent=None))
    tip = git(repo, "rev-parse", "HEAD")
    with opened(repo) as view:
        assert [secrets.search(view, task, tip, [base]) for _ in range(2)] == [[], []]
        assert len(searches) == 1
        SECRETS.add(VALUE.decode())
        assert [match.path for match in secrets.search(view, task, tip, [base])] == ["file"]
    assert len(searches) == 2
