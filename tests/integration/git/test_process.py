from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_runner.process.progress import ProgressLimits
from rover_mcp.domain.cancellation import CancelToken, Stopped
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git import git_process
from rover_mcp.git.git_process import run_git
from tests.integration.git.conftest import git


def test_nothing_of_the_callers_environment_reaches_git(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "evil")
    assert run_git(["config", "user.name"], repo / ".git").code == 1
    assert run_git(["rev-parse", "--git-dir"], repo / ".git").text == str(repo / ".git")


def test_output_beyond_the_limit_is_cut_and_said(repo: Path) -> None:
    result = run_git(["log"], repo / ".git", output_limit=10)
    assert result.truncated
    assert len(result.stdout) == 10


def test_a_git_that_hangs_is_stopped_with_its_helpers(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "alias.hang", "!sleep 600")
    with pytest.raises(EnvironmentFault) as caught:
        run_git(["hang"], repo / ".git", timeout=0.2)
    assert caught.value.code == "git_timeout"


def test_a_git_that_stands_still_is_stopped(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V1."""
    monkeypatch.setattr(git_process, "PROGRESS", ProgressLimits(still=0.4))
    git(repo, "config", "alias.hang", "!sleep 600")
    with pytest.raises(EnvironmentFault, match="it did nothing at all for") as caught:
        run_git(["hang"], repo / ".git")
    assert caught.value.code == "git_timeout"


def test_a_git_that_gets_on_may_take_its_time(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V1: it prints nothing, and mostly waits."""
    monkeypatch.setattr(git_process, "PROGRESS", ProgressLimits(still=4.0))
    git(repo, "config", "alias.slow", "!for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.6; done")
    assert run_git(["slow"], repo / ".git").code == 0


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_git_is_stopped_from_another_thread(repo: Path, when: str) -> None:
    reads, writes = os.pipe()
    stop = CancelToken()
    try:
        with ThreadPoolExecutor() as pool:
            if when == "before":
                stop.ask()
            argv = ["hash-object", "--stdin"]
            running = pool.submit(run_git, argv, repo / ".git", stdin=reads, stop=stop)
            stop.ask()
            with pytest.raises(Stopped):
                running.result(300)
    finally:
        os.close(reads)
        os.close(writes)


def test_a_missing_git_is_named(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault) as caught:
        run_git(["status"], repo / ".git")
    assert caught.value.code == "git_missing"


def test_a_folder_that_is_gone_is_not_taken_for_a_missing_git(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="is not a folder"):
        run_git(["status"], tmp_path / "gone")


def test_input_is_fed_and_a_failure_has_a_short_reason(repo: Path) -> None:
    blob = run_git(["hash-object", "--stdin"], repo / ".git", stdin=b"one\n")
    assert blob.text == git(repo, "rev-parse", "HEAD:a.txt")
    assert run_git(["cat-file", "-t", "0" * 40], repo / ".git").reason == (
        "git cat-file: could not get object info"
    )
