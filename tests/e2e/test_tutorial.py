"""Every command of docs/tutorial.md, as a reader would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.hangs import HANG_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text("utf-8")


def test_the_tutorial_does_what_it_says(home: Path) -> None:
    script = "\n".join(["set -euo pipefail", *re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)])
    home.parent.mkdir(exist_ok=True)
    programs = str(Path(sys.executable).parent)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC", "CLAUDE"))}
    done = subprocess.run(
        ["bash", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        cwd=home.parent,
        env={
            **clean,
            "ROVER_HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DOCKER_HOST": "unix:///nowhere",
            "CONTAINER_HOST": "unix:///nowhere",
            "GIT_AUTHOR_NAME": "You",
            "GIT_AUTHOR_EMAIL": "you@example.org",
            "GIT_COMMITTER_NAME": "You",
            "GIT_COMMITTER_EMAIL": "you@example.org",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "credits",
        "It resumes automatically",
        "+    return a + b",
        "Nothing is deleted yet",
        "Deleted.",
    ):
        assert said in done.stdout, f"{said!r} is not in:\n{done.stdout}\n{done.stderr}"
