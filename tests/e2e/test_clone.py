"""What a task's clone holds is the same on every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.frames import LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import script

LOOK = (
    "git describe; git rev-parse --abbrev-ref origin/main; git config remote.origin.url; "
    "cat lib/calc.py; git submodule status; git check-ignore own.txt"
)


@pytest.mark.parametrize("engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_clone_knows_tags_origin_submodules_and_what_the_user_ignores(
    client: LauncherClient, repository: Path, engine: str
) -> None:
    """V2: the agent's user of a Docker sandbox could not read the folder that names them."""
    library = make_repository(repository.with_name("library"))
    git(
        repository,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "-q",
        "add",
        str(library),
        "lib",
    )
    git(repository, "commit", "-qm", "library")
    git(repository, "tag", "-am", "one", "v1.0")
    git(repository, "remote", "add", "origin", "https://example.org/a.git")
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    (repository / ".git" / "info" / "exclude").write_text("own.txt\n")
    task = client.tool(
        "create_task", description="Look", workflow="quick", agent="scripted", engine=engine,
        script=script(implement=[{"say": "done", "run": LOOK}]),
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "COMPLETED")
    seen = client.tool("get_logs", task=task["id"], step="implement")["text"]
    assert "v1.0\norigin/main\nhttps://example.org/a.git\n" in seen
    assert (library / "calc.py").read_text() in seen
    assert f" {git(library, 'rev-parse', 'HEAD').strip()} lib" in seen
    assert "\nown.txt\n" in seen
