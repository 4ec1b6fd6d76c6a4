"""What the files of a repository ask for, for `rover doctor`: a real repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rover_mcp.daemon.program_check import main
from tests.support.repos import make_repository


@pytest.mark.parametrize(("name", "asked"), [("uv.lock", "uv"), ("README", None)])
def test_what_the_project_asks_for_is_named_where_it_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    asked: str | None,
) -> None:
    """V5: a task is told so at its creation, and doctor says it before."""
    repository = make_repository(tmp_path / "repo", {name: "x\n"})
    monkeypatch.setenv("PATH", "/nonexistent:/usr/bin:/bin")
    assert main(str(tmp_path / "home"), str(repository)) == 0
    said: list[str] = json.loads(capsys.readouterr().out)
    assert [f"{name} asks for {asked}" in line for line in said] == ([True] if asked else [])


def test_where_there_is_no_repository_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(str(tmp_path / "home"), str(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out) == []
