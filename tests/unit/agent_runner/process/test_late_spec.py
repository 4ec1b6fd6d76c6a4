"""A runner that was started ahead of its task."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent_runner.process.late_spec import FIFO, SPEC, await_spec
from agent_runner.run.runner_command import run_command
from rover_mcp.sandbox.layout import awaits_spec, deliver_spec, prepare_late_spec


def test_orders_wake_a_runner_that_waits(tmp_path: Path) -> None:
    prepare_late_spec(tmp_path)
    heard: list[bool] = []
    runner = threading.Thread(target=lambda: heard.append(await_spec(tmp_path, 20)))
    runner.start()
    (tmp_path / SPEC).write_text("{}")
    while awaits_spec(tmp_path):
        deliver_spec(tmp_path)
    runner.join(timeout=300)
    assert heard == [True]


def test_orders_that_came_while_it_started_are_not_missed(tmp_path: Path) -> None:
    prepare_late_spec(tmp_path)
    (tmp_path / SPEC).write_text("{}")
    assert await_spec(tmp_path, 0)


def test_orders_that_came_and_were_tidied_up_before_it_looked_are_found(tmp_path: Path) -> None:
    prepare_late_spec(tmp_path)
    (tmp_path / SPEC).write_text("{}")
    deliver_spec(tmp_path)
    assert not (tmp_path / FIFO).exists()
    assert await_spec(tmp_path, 0)


def test_a_runner_that_nobody_needs_ends_by_itself(tmp_path: Path) -> None:
    prepare_late_spec(tmp_path)
    assert not await_spec(tmp_path, 0.01)
    assert run_command(None, ["run", "--spec", str(tmp_path), "--wait", "0.01"]) == os.EX_TEMPFAIL


def test_without_orders_and_without_a_place_for_them_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await_spec(tmp_path, 0)


def test_giving_orders_twice_is_harmless(tmp_path: Path) -> None:
    prepare_late_spec(tmp_path)
    deliver_spec(tmp_path)
    deliver_spec(tmp_path)
    assert not awaits_spec(tmp_path)


def test_waiting_costs_no_processor_time(tmp_path: Path) -> None:
    """A runner that waits is one system call, not a loop."""
    prepare_late_spec(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from agent_runner.process.late_spec import await_spec;"
        "begin = time.process_time(); await_spec(Path(sys.argv[1]), 0.3);"
        "sys.exit(time.process_time() - begin > 0.05)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
