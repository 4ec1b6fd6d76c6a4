"""What an agent leaves in its clone harms neither the host nor the user's repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.attack import fill
from tests.attacks.conftest import ENGINES
from tests.attacks.plants import MISLEADING, PLANTS, PayloadScript
from tests.attacks.stage import AttackedHost, repository_state
from tests.support.repos import git, make_repository
from tests.support.scripts import script

STEPS = [
    {"id": "plant", "type": "agent", "prompt": "plant"},
    {"id": "later", "type": "agent", "prompt": "go on", "commit": "a checkpoint"},
    {"id": "look", "type": "command", "command": "git log --oneline && git status --short"},
]


@dataclass(frozen=True)
class Planted:
    engine: str
    task: dict[str, Any]
    before: object


@pytest.fixture(scope="module", params=ENGINES)
def planted(request: pytest.FixtureRequest, stage: AttackedHost) -> Planted:
    """A task whose agent plants everything, and then goes on to work."""
    places = stage.places(request.param)
    lines = [f"( {plant.planting()} ) || :" for plant in (*PLANTS, *MISLEADING)]
    branch = "git checkout -q $B || :"
    first = "B=$(git symbolic-ref --short HEAD); " + f"; {branch}; ".join([*lines, ":"])
    turns = script(
        plant=[{"run": _bash(fill(first, places))}],
        later=[{"edits": [{"path": "good.py", "content": "good = 1\n"}]}],
    )
    stage.workflow("plants", STEPS)
    before = repository_state(stage.repository)
    task = stage.ended(stage.create("plants", request.param, turns))
    return Planted(request.param, task, before)


def _bash(text: str) -> str:
    return f"cat > /tmp/plant.sh <<'PLANTED'\n{text}\nPLANTED\nbash /tmp/plant.sh"


def test_the_work_is_delivered_all_the_same(planted: Planted, stage: AttackedHost) -> None:
    assert planted.task["status"] == "COMPLETED", planted.task.get("error")
    branch = planted.task["branch"]
    assert git(stage.repository, "show", f"{branch}:good.py") == "good = 1"
    assert git(stage.repository, "merge-base", branch, "main") == git(
        stage.repository, "rev-parse", "main"
    )


@pytest.mark.known_escape(15)
def test_nothing_of_it_runs_on_the_host(
    planted: Planted, stage: AttackedHost, tmp_path: Path
) -> None:
    """Neither by what the daemon does, nor by what a user then does with the branch."""
    for command in ("inspect", "diff", "logs"):
        assert stage.rover(command, planted.task["id"]).returncode == 0
    branch = planted.task["branch"]
    git(stage.repository, "log", "-p", f"main..{branch}")
    git(stage.repository, "worktree", "add", "-q", "--detach", str(tmp_path / "checkout"), branch)
    git(tmp_path / "checkout", "status")
    git(stage.repository, "worktree", "remove", "--force", str(tmp_path / "checkout"))
    assert stage.hits() == []


@pytest.mark.known_escape(15)
def test_the_users_repository_has_a_branch_more_and_no_other_change(
    planted: Planted, stage: AttackedHost
) -> None:
    assert repository_state(stage.repository) == planted.before
    refs = git(stage.repository, "for-each-ref", "--format=%(refname)").splitlines()
    assert {r for r in refs if not r.startswith("refs/heads/rover/")} == {"refs/heads/main"}
    hub = next((stage.data / "projects").glob("*/hub.git"))
    assert not any((hub / name).exists() for name in ("hooks", "info/grafts", "refs/replace"))


def test_what_could_not_be_recorded_is_told(planted: Planted) -> None:
    told = " ".join(planted.task.get("warnings") or ())
    assert "lacks files" in told, planted.task
    assert all(c.isprintable() for c in told)


def test_a_set_user_id_file_is_out_of_other_users_reach(
    planted: Planted, stage: AttackedHost
) -> None:
    """In bubblewrap the agent's files are the user's own on the host."""
    task = stage.data / "tasks" / planted.task["id"]
    assert stage.data.stat().st_mode & 0o077 == 0
    tried = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "ls", str(task)], check=False,
        capture_output=True,
    )  # fmt: skip
    assert tried.returncode != 0


def test_the_rest_of_the_system_works_on(planted: Planted, stage: AttackedHost) -> None:
    stage.assert_all_is_well(planted.engine)


@pytest.fixture
def own(tmp_path: Path, stage: AttackedHost) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A shell in a repository of the user's, without a sandbox."""
    folder = make_repository(tmp_path / "own")
    (tmp_path / "home").mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "GIT_TERMINAL_PROMPT": "0"}
    env |= {f"GIT_{w}_{k}": "x@x" for w in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", text], cwd=folder, env=env, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: p.name)
def test_the_same_plant_runs_where_a_user_opens_the_repository(
    own: Callable[[str], subprocess.CompletedProcess[str]],
    stage: AttackedHost,
    plant: PayloadScript,
) -> None:
    """So that none of them fails for a reason of its own."""
    places = {"TROPHIES": str(stage.trophies)}
    done = own(fill(plant.planting(), places) + "\n" + plant.trigger)
    hits = stage.hits()
    stage.forget_hits()
    assert plant.name in hits, done.stdout + done.stderr
