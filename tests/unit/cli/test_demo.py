"""The demo's material fits together, and its checks can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runner.agents.scripted import load_script
from agent_runner.workflow.loader import load_workflow
from rover_mcp.demo.checks import Checks
from rover_mcp.demo.demo_environment import SCRIPT, DemoEnvironment, end_daemon

ROOT = Path(__file__).parents[3]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[DemoEnvironment]:
    made = DemoEnvironment(str(tmp_path / "home"), keep=False)
    made.make_repository()
    yield made
    made.close()
    assert not made.root.exists()


def test_the_script_plays_the_steps_of_the_workflow() -> None:
    script = load_script(SCRIPT)
    assert script is not None
    workflow = load_workflow(ROOT / "workflows" / "demo.yaml")
    assert set(script.steps) <= {step.id for step in workflow.steps}
    error = script.steps["implement"][0].error
    assert error is not None
    assert (error.status, error.type) == (400, "invalid_request_error")


def test_the_tests_fail_until_the_work_is_resumed(stage: DemoEnvironment) -> None:
    script = load_script(SCRIPT)
    assert script is not None
    assert stage.run_tests().returncode != 0
    for turn, good in zip(script.steps["implement"], (False, True, True), strict=True):
        for edit in turn.edits:
            (stage.repo / edit.path).write_text(edit.content or "")
        command = [sys.executable, "-B", "-m", "unittest", "discover"]
        done = subprocess.run(command, cwd=stage.repo, capture_output=True, check=False)
        assert (done.returncode == 0) is good


def test_a_touched_checkout_does_not_pass_as_untouched(stage: DemoEnvironment) -> None:
    checks = Checks()
    checks.remember(stage)
    view = {"base_commit": stage.git("rev-parse", "main"), "branch": "main"}
    checks.branch(stage, view)
    assert checks.failed == ["the branch is 0 commit ahead of main"]
    (stage.repo / "bill.py").write_text("changed")
    stage.git("config", "user.name", "someone")
    checks = Checks()
    checks._before = {}  # what a demo that forgot to look would compare with
    checks.branch(stage, view)
    assert len(checks.claims) == 1


def test_a_step_that_ran_twice_is_noticed() -> None:
    plan = {
        "id": "plan",
        "status": "completed",
        "duration_s": 1.0,
        "outputs": {"plan": "Take the remainder"},
    }
    checks = Checks()
    checks.before_resume({"attempt": 1, "steps": [plan]})
    checks.after_resume({"attempt": 2, "steps": [plan]})
    assert not checks.failed
    checks = Checks()
    checks.before_resume({"attempt": 1, "steps": [plan]})
    checks.after_resume({"attempt": 2, "steps": [{**plan, "duration_s": 2.0}]})
    assert checks.failed == ["the finished step was not run again"]


def test_ending_a_daemon_that_does_not_run_is_nothing(tmp_path: Path) -> None:
    assert end_daemon(tmp_path)
