"""The MCP Inspector connects, lists and calls, in both protocol eras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import bare_environment, inspector, launcher, ran

pytestmark = pytest.mark.real_agent


def inspect(shared: Path, user: Path, era: str, *arguments: str) -> Any:
    """One run of it: connects, asks once, prints the result."""
    options = ["--protocol-era", era, "--format", "json", "--quiet", "--cwd", shared / "repo"]
    argv = [*inspector(), *launcher(shared / "data"), *options, *arguments]
    return json.loads(ran(argv, bare_environment(user), user).stdout)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_it_connects_lists_and_calls(shared: Path, tmp_path: Path, era: str) -> None:
    listed = inspect(shared, tmp_path, era, "--method", "tools/list", "--strict")
    assert "create_task" in json.dumps(listed)
    call = ["--method", "tools/call", "--tool-name", "list_workflows", "--tool-args-json", "{}"]
    assert "swe-tdd" in json.dumps(inspect(shared, tmp_path, era, *call))
