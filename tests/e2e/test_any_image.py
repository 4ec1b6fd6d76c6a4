"""A task in images that are not the default one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rover_mcp.sandbox import node_bundle
from tests.support.bare_images import NO_PYTHON, ensure_image
from tests.support.docker_env import BASE_IMAGE
from tests.support.frames import LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import script
from tests.support.trusting import trust

EDIT = {"path": "notes.txt", "content": "done\n"}

pytestmark = pytest.mark.docker


def test_a_task_completes_in_an_image_without_python(home: Path, repository: Path) -> None:
    """The runner, its git and the agent's commands, in a Debian without Python and users."""
    ensure_image(os.environ["DOCKER_HOST"], NO_PYTHON)
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"base_image: {NO_PYTHON}\n")
    with LauncherClient(home, repository) as client:
        client.open()
        task = client.tool(
            "create_task", description="Write notes", workflow="quick", agent="scripted",
            engine="docker", script=script(implement=[{"say": "done", "edits": [EDIT]}]),
        )["task"]  # fmt: skip
        done = client.wait_until(task["id"], "COMPLETED")
        diff = client.tool("get_diff", task=done["id"])
    assert [f["path"] for f in diff["changes"]["paths"]] == ["notes.txt"]


SET_UP = {
    ".devcontainer/devcontainer.json": (
        '{ // as an editor reads it\n "build": {"dockerfile": "Dockerfile", "context": ".."},\n'
        ' "postCreateCommand": "mkdir deps && date +%s%N > deps/made; echo $MODE > ~/mode",\n'
        ' "features": {"x": {}}, "onCreateCommand": "only-its-features-have-it",\n'
        ' "containerEnv": {"MODE": "dev"}, "runArgs": ["--privileged"],\n}\n'
    ),
    ".devcontainer/Dockerfile": f"FROM {BASE_IMAGE}\nCOPY VERSION /etc/project-version\n",
    ".rover/setup.sh": "echo setting up; test ! -e fail\n",
    ".gitignore": "deps/\n",
    "VERSION": "7\n",
}
CHECKS = """\
name: looks
version: "1.0"
description: shows what the setup made
inputs: []
steps:
  - id: look
    type: command
    name: Look
    command: cat /etc/project-version deps/made ~/mode; echo "MODE=$MODE"; git status --short
"""


NODE_LOOKS = CHECKS.replace(
    'cat /etc/project-version deps/made ~/mode; echo "MODE=$MODE"; git status --short',
    "id -u; node --version; npm --version; command -v npx; bash -lc 'node -p 1+1'; "
    "for p in curl g++ git jq make patch pkg-config ps rg unzip xz; do command -v $p >/dev/null "
    "|| echo no $p; done; printf 'int main(){return 7;}' >t.c; cc t.c -o t; ./t; echo $?; rm t t.c; "
    "python3 -m venv /tmp/v && /tmp/v/bin/pip --version | cut -c1-3",
)


def run_look(client: LauncherClient, engine: str, status: str = "COMPLETED"):
    task = client.tool(
        "create_task", description="Look", workflow="looks", agent="scripted", engine=engine,
        script=script(),
    )["task"]  # fmt: skip
    done = client.wait_until(task["id"], status)
    log = client.tool("get_logs", task=done["id"], step="look")["text"]
    return done, [line for line in log.splitlines() if not line.startswith("---")]


def test_a_setup_runs_once_and_the_next_task_starts_from_its_image(home: Path) -> None:
    """Its own Dockerfile, its commands, its variables; what would open the sandbox is named."""
    repository = make_repository(
        home.parent / "prepared", {**SET_UP, ".rover/workflows/looks.yaml": CHECKS}
    )
    trust(home, repository)
    with LauncherClient(home, repository) as client:
        client.open()
        first, seen = run_look(client, "docker")
        assert any("runArgs" in warning for warning in first["warnings"])
        assert seen[0] == "7"
        # What git ignores was taken over, and the clone is clean.
        assert seen[4:] == ["exit status 0"]
        second, again = run_look(client, "docker")
        assert again == seen
        for task in (first, second):
            # V5: what was only tried is a warning, also of those who find the image made.
            assert any("'only-its-features-have-it' failed" in w for w in task["warnings"])
        assert command_line_reports_it(home, repository)

        # Another setup, which fails: its last lines are the task's error.
        (repository / "fail").write_text("")
        (repository / ".rover/setup.sh").write_text("echo why it failed >&2; exit 3\n")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "fails")
        trust(home, repository)
        task = client.tool(
            "create_task", description="Look", workflow="looks", agent="scripted",
            engine="docker", script=script(),
        )["task"]  # fmt: skip
        failed = client.wait_until(task["id"], "FAILED")
        assert "why it failed" in failed["error"]
        assert "status 3" in failed["error"]
        log = client.tool("get_logs", task=task["id"], step="setup")["text"]
        assert log.endswith(
            "$ bash .rover/setup.sh\nwhy it failed\nthe command failed with status 3"
        )


def test_the_default_image_has_node_npm_and_build_tools(home: Path) -> None:
    repository = make_repository(home.parent / "plain", {".rover/workflows/looks.yaml": NODE_LOOKS})
    with LauncherClient(home, repository) as client:
        client.open()
        _, seen = run_look(client, "docker")
    user, node, npm, npx, sum_, *tools = seen
    assert user == "10001"
    assert int(node.removeprefix("v").partition(".")[0]) >= 22
    assert int(npm.partition(".")[0]) >= 10
    # Last on PATH: an image's own would go before it.
    assert npx == f"{node_bundle.BIN}/npx"
    assert sum_ == "2"
    assert tools == ["7", "pip", "exit status 0"]


def command_line_reports_it(home: Path, repository: Path) -> bool:
    """`rover image` lists what there is; `prune` without --yes removes nothing.

    The engine is shared, and tests beside this one build and remove images of their own meanwhile,
    so that the kinds are compared and not the numbers.
    """

    def rover(*words: str) -> list[dict[str, object]]:
        argv = [
            sys.executable,
            "-m",
            "rover_mcp.cli.command_line",
            "--home",
            str(home),
            "--json",
            *words,
        ]
        done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["images"]

    kinds = {"ground", "setup", "sandbox", "project"}
    assert kinds <= {i["kind"] for i in rover("image", "list")}
    assert not any(i["removed"] for i in rover("image", "prune"))
    return kinds <= {i["kind"] for i in rover("image", "list")}


def test_without_images_the_set_up_runs_in_each_task(home: Path) -> None:
    files = {
        ".rover/setup.sh": "mkdir deps && echo made > deps/made\n", ".gitignore": "deps/\n",
        ".rover/workflows/looks.yaml": CHECKS.replace(
            "cat /etc/project-version deps/made ~/mode", "cat deps/made"
        ),
    }  # fmt: skip
    repository = make_repository(home.parent / "prepared", files)
    trust(home, repository)
    with LauncherClient(home, repository) as client:
        client.open()
        _, seen = run_look(client, "bubblewrap")
        assert seen[0] == "made"
