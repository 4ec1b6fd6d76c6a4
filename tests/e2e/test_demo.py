"""`rover demo` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hangs import HANG_SECONDS

ROVER = Path(sys.executable).parent / "rover"


def demo(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [str(ROVER), "demo", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def test_the_demo_proves_the_main_job(engine: str) -> None:
    done = demo("--engine", engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it held." in done.stdout
    assert f"sandbox: {engine}" in done.stdout
    assert "MERGED: " in done.stdout
    assert '"method":"notifications/message"' in done.stdout
    assert '"method":"notifications/resources/updated"' in done.stdout


def test_without_an_engine_the_demo_says_what_to_do() -> None:
    done = demo("--engine", "docker", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1
    assert "docker" in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stdout + done.stderr
