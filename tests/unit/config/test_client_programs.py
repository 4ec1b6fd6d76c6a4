"""Programs are found where the user's shell finds them, and never in the repository at work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rover_mcp.config import client_programs
from rover_mcp.config.client_programs import find, remember, search_path
from rover_mcp.domain.task_status import Event
from tests.support.desk import ServerHarness, open_desk
from tests.support.samples import new_task

SHORT = "/usr/bin:/bin"


@pytest.fixture(autouse=True)
def short_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a desktop starts a daemon; nobody has connected yet."""
    monkeypatch.setenv("PATH", SHORT)
    monkeypatch.setattr(client_programs, "_last", [])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    return root


def program(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "claude"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return str(made)


def test_the_callers_path_counts_before_the_last_clients_and_the_daemons(tmp_path: Path) -> None:
    mine, others = program(tmp_path / "mine"), program(tmp_path / "others")
    assert find("claude") is None
    remember(f"{tmp_path}/others:{SHORT}", tmp_path)
    assert find("claude") == others
    assert find("claude", f"{tmp_path}/mine") == mine
    assert find("sh", "/nonexistent") == "/usr/bin/sh"
    remember(None, tmp_path)
    assert find("claude") == others
    remember(SHORT, tmp_path)
    assert find("claude") is None


@pytest.mark.parametrize("inner", ["", "node_modules/.bin", ".venv/bin", "x/../bin"])
def test_what_the_repository_brings_does_not_count(repository: Path, inner: str) -> None:
    """Nor by way of a link, nor from a folder inside of it, nor for a later call."""
    folder = repository / inner
    (repository / "x").mkdir()
    program(folder)
    link = repository.parent / "link"
    link.symlink_to(folder)
    for path in (str(folder), str(link)):
        for place in (repository, repository / "x"):
            assert find("claude", path, place) is None
            remember(path, place)
            assert find("claude") is None
    assert find("claude", str(folder), repository.parent) is not None


@pytest.mark.parametrize("relative", ["", ".", "bin", "../bin", "~/bin"])
def test_relative_folders_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    program(tmp_path / "bin")
    monkeypatch.chdir(tmp_path / "bin")
    assert find("claude", relative, tmp_path) is None
    remember(relative, tmp_path)
    monkeypatch.setenv("PATH", f"{relative}:{SHORT}")
    assert search_path() == SHORT


def test_a_home_that_is_a_repository_keeps_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".git").mkdir()
    folder = tmp_path / ".local" / "bin"
    assert find("claude", str(folder), tmp_path / "work") is None
    mine = program(folder)
    assert find("claude", str(folder), tmp_path / "work") == mine


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServerHarness]:
    with open_desk(tmp_path) as made:
        yield made


@pytest.mark.parametrize("known", [None, "/gone/claude"])
def test_a_resume_finds_the_agent_on_the_path_of_whoever_asks_for_it(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: str | None
) -> None:
    """I1: a task of a client that had a short PATH, or whose program has moved since."""
    mine = program(tmp_path / "mine")
    place = str(desk.caller.cwd)
    desk.store.projects.register("p1", place)
    new = new_task(project_id="p1", project_path=place, agent="claude", agent_binary=known)
    row, _ = desk.store.tasks.create(new, frozenset())
    for event in (Event.START, Event.FAIL):
        row = desk.store.transitions.apply(row.id, event) or row
    agents = desk.tasks.create_task.agents
    monkeypatch.setattr(agents, "binary", lambda _, path: find_in(path), raising=False)
    program(desk.caller.cwd / "bin")
    caller = replace(desk.caller, env={"PATH": f"{place}/bin:bin:{tmp_path}/mine"})
    assert desk.tasks.resume(caller, row, "now").result == "resumed"
    after = desk.store.tasks.get(row.id)
    assert after is not None
    assert after.agent_binary == mine


def find_in(path: str) -> Path | None:
    """As on a host that has the program in the folders of `path` alone."""
    found = [Path(folder, "claude") for folder in path.split(os.pathsep)]
    return next((file for file in found if file.exists()), None)
