"""Bad input: each a tool error that says what to do, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import end_daemon
from tests.support.frames import LauncherClient, ToolError
from tests.support.hangs import HANG_SECONDS
from tests.support.repos import git, make_repository
from tests.support.scripts import script

GOOD = {
    "description": "do it", "workflow": "quick", "agent": "scripted",
    "engine": "bubblewrap", "script": script(),
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[Path]:
    """A data folder whose one daemon refuses all that is asked of it."""
    with tempfile.TemporaryDirectory(prefix="rover-e2e-") as folder:
        yield Path(folder, "data")
        end_daemon(Path(folder, "data"))


@pytest.fixture
def quiet(undisturbed: Path, repository: Path) -> Iterator[LauncherClient]:
    """Afterwards no task, folder or branch exists."""
    with LauncherClient(undisturbed, repository) as client:
        client.open()
        yield client
        left = client.tool("list_tasks")["tasks"]
        # For the tests after this one.
        for task in left:
            client.tool("cancel_task", task=task["id"])
            client.tool("delete_task", task=task["id"], confirm=True)
        assert left == []
    assert list((undisturbed / "tasks").iterdir()) == []


def refused(client: LauncherClient, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ToolError) as caught:
        client.tool("create_task", **{**GOOD, **arguments})
    error = dict(caught.value.error)
    assert error.get("hint") or error.get("next_call"), error
    assert "Traceback" not in str(error)
    return error


def test_a_folder_that_is_no_repository(quiet: LauncherClient, tmp_path: Path) -> None:
    assert "git init" in refused(quiet, repo_path=str(tmp_path))["hint"]


def test_a_folder_that_does_not_exist(quiet: LauncherClient) -> None:
    assert "/no/such" in refused(quiet, repo_path="/no/such/folder")["message"]


def test_a_repository_without_commits(quiet: LauncherClient, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert "commit" in refused(quiet, repo_path=str(tmp_path))["hint"]


def test_an_unknown_workflow(quiet: LauncherClient) -> None:
    error = refused(quiet, workflow="nope")
    assert error["code"] == "unknown_workflow"
    assert "quick" in error["message"]


def test_an_unknown_agent(quiet: LauncherClient) -> None:
    error = refused(quiet, agent="nope", script=None)
    assert error["code"] == "unknown_agent"
    assert "claude" in error["message"]


def test_an_agent_that_is_not_installed(home: Path, repository: Path, tmp_path: Path) -> None:
    """Nor npm, which could fetch it, nor fetched before."""
    for program in ("git", "bash", "sh"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    with LauncherClient(
        home, repository, {"PATH": str(tmp_path), "ROVER_AGENT_CACHE": str(tmp_path)}
    ) as client:
        client.open()
        error = refused(client, agent="claude", script=None)
        assert error["code"] == "agent_missing"
        assert client.tool("list_tasks")["tasks"] == []


def test_an_unknown_branch(quiet: LauncherClient) -> None:
    refused(quiet, base_branch="no-such-branch")


@pytest.mark.parametrize("name", ["--upload-pack=x", "a..b", "-q", "a b"])
def test_a_branch_name_that_is_none(quiet: LauncherClient, name: str) -> None:
    refused(quiet, base_branch=name)


def test_an_empty_description(quiet: LauncherClient) -> None:
    refused(quiet, description="  \n ")


def test_an_unknown_argument(quiet: LauncherClient) -> None:
    error = refused(quiet, colour="blue")
    assert error["code"] == "invalid_arguments"
    assert "colour" in error["message"]


def test_an_input_that_the_workflow_has_not(quiet: LauncherClient) -> None:
    assert refused(quiet, inputs={"nope": "x"})["code"] == "invalid_inputs"


def test_a_script_that_is_none(quiet: LauncherClient) -> None:
    assert refused(quiet, script="steps: 7")["code"] == "invalid_script"


@pytest.mark.parametrize("task", ["12abc", "-1", "", "0", "x" * 32])
def test_a_malformed_task_id(quiet: LauncherClient, task: str) -> None:
    """I2."""
    with pytest.raises(ToolError) as caught:
        quiet.tool("inspect", task=task)
    assert caught.value.error["code"] == "malformed_id"


@pytest.mark.parametrize("task", ["7", "0" * 31 + "1"])
def test_an_unknown_task(quiet: LauncherClient, task: str) -> None:
    with pytest.raises(ToolError) as caught:
        quiet.tool("resume_task", task=task)
    assert caught.value.error["code"] == "unknown_task"


def test_a_workflow_with_an_error_is_told_with_file_line_and_column(
    quiet: LauncherClient, repository: Path
) -> None:
    folder = repository / ".rover" / "workflows"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text(
        'version: "1.0"\nname: bad\nsteps:\n  - id: a\n    type: agent\n    prompt: p\n    colour: blue\n'
    )
    error = refused(quiet, workflow="bad")
    assert f"{folder}/bad.yaml:7:5" in error["message"]


def test_a_dirty_repository_is_supported_and_said(client: LauncherClient, repository: Path) -> None:
    (repository / "calc.py").write_text("changed\n")
    task = client.tool("create_task", **GOOD)["task"]
    assert any("uncommitted" in w for w in task["warnings"])
    client.wait_until(task["id"], "COMPLETED")
    assert (repository / "calc.py").read_text() == "changed\n"


def test_a_bare_repository_is_supported(client: LauncherClient, repository: Path) -> None:
    bare = client.home.parent / "bare.git"
    git(repository, "clone", "-q", "--bare", str(repository), str(bare))
    task = client.tool("create_task", **GOOD, repo_path=str(bare))["task"]
    done = client.wait_until(task["id"], "COMPLETED")
    assert git(bare, "rev-parse", "--verify", done["branch"])


def test_no_engine(home: Path, repository: Path) -> None:
    env = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    with LauncherClient(home, repository, env) as client:
        client.open()
        error = refused(client, engine="docker")
        assert "docker" in error["message"].lower()
        assert client.tool("list_tasks")["tasks"] == []


def test_a_data_folder_that_is_read_only_is_told_to_the_client(repository: Path) -> None:
    """As root a mode does not forbid writing; a read-only file system does."""
    with LauncherClient(Path("/proc/rover"), repository) as client:
        answer = client.request("tools/call", {"name": "list_tasks"})
        assert "ROVER_HOME" in answer["error"]["message"]


def test_a_data_folder_of_a_newer_version_is_refused_and_left_untouched(
    home: Path, repository: Path
) -> None:
    """A3, for the store."""
    import sqlite3

    with LauncherClient(home, repository) as client:
        client.open()
    from tests.e2e.conftest import end_daemon

    end_daemon(home)
    with sqlite3.connect(home / "rover.db") as connection:
        connection.execute("UPDATE rover_meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with LauncherClient(home, repository) as client:
        answer = client.request("tools/call", {"name": "list_tasks"})
        assert "newer version" in answer["error"]["message"]
    with sqlite3.connect(home / "rover.db") as connection:
        found = connection.execute("SELECT value FROM rover_meta WHERE key = 'schema_version'")
        assert found.fetchone() == ("99",)
    connection.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_left_behind(small_disk: Path, repository: Path) -> None:
    from tests.e2e.conftest import end_daemon

    home = small_disk / "data"
    with LauncherClient(home, repository) as client:
        client.open()
        error = refused(client)
        assert error["code"] == "disk_full"
        assert "ROVER_HOME" in error["hint"]
        assert client.tool("list_tasks")["tasks"] == []
    end_daemon(home)


def test_an_image_that_cannot_be_had(home: Path, repository: Path) -> None:
    """The task is refused or fails with the image's name and what to do; never hangs."""
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("base_image: registry.invalid/none:1\n")
    with LauncherClient(home, repository) as client:
        client.open()
        try:
            task = client.tool("create_task", **{**GOOD, "engine": "docker"})["task"]
        except ToolError as refusal:
            text = str(refusal.error)
        else:
            text = client.wait_until(task["id"], "FAILED")["error"]
        assert "registry.invalid/none:1" in text


test_an_image_that_cannot_be_had = pytest.mark.docker(test_an_image_that_cannot_be_had)


def test_the_launcher_ends_at_once_on_eof_sigint_and_sigterm(home: Path, repository: Path) -> None:
    import signal

    for ending in (None, signal.SIGINT, signal.SIGTERM):
        client = LauncherClient(home, repository)
        client.open()
        if ending:
            os.kill(client.process.pid, ending)
            assert client.process.wait(HANG_SECONDS) == 0
        assert client.close() == 0


def test_a_file_is_no_repository(quiet: LauncherClient, repository: Path) -> None:
    refused(quiet, repo_path=str(make_repository(repository.parent / "other") / "calc.py"))
