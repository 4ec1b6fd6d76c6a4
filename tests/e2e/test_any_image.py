"""A task in images that are not the default one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.bare_images import NO_PYTHON, ensure_image
from tests.support.frames import LauncherClient
from tests.support.scripts import script

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
        done = client.wait_until(task["id"], "COMPLETED", timeout=120)
        diff = client.tool("get_diff", task=done["id"])
    assert [f["path"] for f in diff["changes"]["paths"]] == ["notes.txt"]
