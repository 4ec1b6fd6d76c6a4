"""The daemon dies at each named place of the control plane; the next one goes on. Real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_runner.crashpoints import VARIABLE
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.domain.ids import sandbox_name
from tests.crash.outcome import Outcome, outcome
from tests.e2e.conftest import daemon_pid, docker_host, end_daemon, engine_for_daemons
from tests.e2e.processes import is_alive, wait_until
from tests.support.fake_anthropic import FakeAnthropic, text, write
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.models.turns import usage_window
from tests.support.preloaded_daemons import exit_status, start_preloaded
from tests.support.real_claude import claude_binary
from tests.support.repos import git, make_repository
from tests.support.scripts import CREDITS, script

__all__ = ["docker_host", "engine_for_daemons"]

P = ControlPoint
ENDINGS = ("task.paused", "task.resumed", "task.completed", "task.failed")
COMPLETED_WITHIN = HANG_SECONDS
OF_HOLDS = (P.HOLD_PLACED, P.HOLD_UNTIMED, P.PROBE_CHOSEN, P.ACCOUNT_OPENED)
OF_TASKS = [point for point in P if point not in OF_HOLDS]
# Passages beside the first: those of the second attempt, which was enqueued by itself.
LATER = {P.ENQUEUING: 2, P.CLAIMED: 2, P.SANDBOX_UP: 2, P.STATUS_CHANGED: 2, P.WORK_IMPORTED: 2}
PASSAGES = [(p, 1) for p in OF_TASKS] + list(LATER.items())

CONFIG = """
idle_exit: 600
sweep_interval: 2
spare_sandboxes: 1
retry: {credits_first: 0.5, interrupted_first: 0.1, transient_first: 0.1, jitter: 0}
"""
WORKFLOW = """
version: "1.0"
name: points
steps:
  - {id: plan, type: command, command: echo plan >> plan.txt}
  - {id: paid, type: agent, prompt: "write paid.txt"}
  - {id: last, type: command, command: cat plan.txt paid.txt}
"""
SCRIPT = script(paid=[{"error": CREDITS}, {"edits": [{"path": "paid.txt", "content": "paid\n"}]}])


@dataclass
class TaskOutcome:
    """A task's end as its user sees it, and as its journal and its events tell it."""

    outcome: Outcome
    tree: str
    attempt: int
    endings: Sequence[str]


@contextmanager
def data_folder(folder: Path, environ: Mapping[str, str], crash: str | None) -> Iterator[Path]:
    """A data folder with a daemon, which dies at `crash`: the launcher's next one does not."""
    make_repository(folder / "repo")
    home = folder / "data"
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    workflows = folder / "repo/.rover/workflows"
    workflows.mkdir(parents=True)
    (workflows / "points.yaml").write_text(WORKFLOW)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC", "CLAUDE"))}
    clean |= {"PATH": environ.get("PATH", clean["PATH"]), "ROVER_HOME": str(home)}
    first = start_preloaded(home, {**clean, **({VARIABLE: crash} if crash else {})})
    assert first is not None
    try:
        yield home
        if crash:
            wait_until(lambda: not is_alive(first), f"{crash} is reached")
            assert exit_status(first) == -signal.SIGKILL
        else:
            assert daemon_pid(home) == first
    finally:
        end_daemon(home)


def run(
    folder: Path, agent: str, environ: Mapping[str, str], crash: str | None = None
) -> TaskOutcome:
    """A task that runs out of credits once, to its end; a daemon dies at `crash` meanwhile."""
    repository = folder / "repo"
    with (
        data_folder(folder, environ, crash) as home,
        LauncherClient(home, repository, environ) as client,
    ):
        client.open()
        arguments = {"script": SCRIPT} if agent == "scripted" else {}
        task = _patient(
            client, "create_task", description="Pay", workflow="points", agent=agent,
            engine="bubblewrap", request_key="once", **arguments,
        )["task"]  # fmt: skip
        done = _completed(client, task["id"])
        events = _patient(client, "inspect", task=task["id"], detail="full")["events"]
        journal = home / "tasks" / task["id"] / "iterations/1/run/journal.jsonl"
        wait_until(lambda: not left_over(home), "no sandbox is left")
        return TaskOutcome(
            outcome=outcome(journal),
            tree=git(repository, "rev-parse", f"{done['branch']}^{{tree}}"),
            attempt=done["attempt"],
            endings=[e["event"] for e in events if e["event"] in ENDINGS],
        )


def left_over(home: Path) -> set[str]:
    """Sandboxes that neither a task nor the next task needs: one may wait for that."""
    ready = {sandbox_name(marker.name, 1) for marker in (home / "spares").glob("*")}
    return {path.name for path in (home / "sandboxes").glob("rover-*")} - ready


def _patient(client: LauncherClient, tool: str, **arguments: object) -> Frame:
    end = time.monotonic() + COMPLETED_WITHIN
    while True:
        try:
            return client.tool(tool, **arguments)
        except DaemonRestarted:
            assert time.monotonic() < end, f"{tool} is never answered"


def _completed(client: LauncherClient, task_id: str) -> Frame:
    end = time.monotonic() + COMPLETED_WITHIN
    while True:
        view = _patient(client, "inspect", task=task_id)["task"]
        if view["status"] == "COMPLETED":
            return view
        assert view["status"] != "FAILED", view
        assert time.monotonic() < end, view
        client.wait_for_news()


def check(found: TaskOutcome, calm: TaskOutcome) -> None:
    found.outcome.check_equals(calm.outcome)
    assert found.tree == calm.tree
    assert found.attempt == calm.attempt
    assert found.endings == calm.endings
    assert found.outcome.repeats == calm.outcome.repeats


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TaskOutcome:
    calm = run(tmp_path_factory.mktemp("calm"), "scripted", {})
    assert calm.attempt == 2
    return calm


@pytest.mark.parametrize(("point", "passage"), PASSAGES)
def test_a_daemon_that_died_there_is_followed_by_one_that_goes_on(
    tmp_path: Path, undisturbed: TaskOutcome, point: ControlPoint, passage: int
) -> None:
    """C8, K1, L8: the sandbox lives on or is begun once; one pause, one resume, one end."""
    check(run(tmp_path, "scripted", {}, f"{point}:{passage}"), undisturbed)


def with_claude(folder: Path, crash: str | None = None) -> tuple[TaskOutcome, int]:
    """The same with a real agent, whose account is closed by the refusal; model calls made."""
    folder.mkdir()
    programs = folder / "bin"
    programs.mkdir()
    (programs / "claude").symlink_to(claude_binary())
    # Of an empty balance only words tell, which close no account: this the provider counts itself.
    plan = [usage_window(resets_in=3), write("paid.txt", "paid\n"), text("Done.")]
    with FakeAnthropic(plan) as provider:
        environ = {
            "ANTHROPIC_API_KEY": "sk-ant-api03-k",
            "ANTHROPIC_BASE_URL": provider.url,
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        return run(folder, "claude", environ, crash), len(provider.main_requests)


@pytest.fixture(scope="module")
def undisturbed_claude(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskOutcome, int]:
    return with_claude(tmp_path_factory.mktemp("claude") / "calm")


@pytest.mark.real_agent
@pytest.mark.parametrize("point", OF_HOLDS)
def test_a_hold_outlives_the_daemon_that_died_there(
    tmp_path: Path, undisturbed_claude: tuple[TaskOutcome, int], point: ControlPoint
) -> None:
    """K1, K5: the account is held once, one probe goes out, and the task goes on."""
    found, asked = with_claude(tmp_path / "crash", str(point))
    check(found, undisturbed_claude[0])
    # The agent goes on while its account opens: a call that is cut off there is made again, in its
    # session and attempt.
    cut_off = 1 if point is ControlPoint.ACCOUNT_OPENED else 0
    assert 0 <= asked - undisturbed_claude[1] <= cut_off
