"""Workers that are forked from one pytest, which has imported and collected all tests for them.

`--outputs FD,FD,... --reports FD`, with tests.support.shared_queue: one worker for each descriptor,
to which its output goes. A line in `reports` says when a worker begins and when it ends.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from _pytest.capture import CaptureManager

BEGAN, ENDED = "began", "ended"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outputs", help="descriptors of workers' outputs, with commas between")
    parser.addoption("--reports", type=int, help="descriptor to which workers' ends are reported")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--outputs"):
        # What is collected stays: to look through it for garbage costs a third of collecting.
        gc.disable()


def fork_workers(config: pytest.Config) -> None:
    """Return in each worker. The process that collected waits for them all, and ends here. Without
    effect where no workers are asked for."""
    if not (listed := config.getoption("--outputs")):
        return
    outputs = [int(descriptor) for descriptor in listed.split(",")]
    reports: int = config.option.reports
    # Whoever supervises interrupts each worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()
    workers: dict[int, int] = {}
    for number, output in enumerate(outputs, 1):
        if (pid := os.fork()) == 0:
            _become_worker(config, number, output)
            for descriptor in (*outputs, reports):
                os.close(descriptor)
            return
        workers[pid] = number
        _report(reports, number, BEGAN, pid)
    for descriptor in outputs:
        os.close(descriptor)
    _wait_for(workers, reports)


def _become_worker(config: pytest.Config, number: int, output: int) -> None:
    """A session of its own, and all that a process has for itself."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.enable()
    capture = config.pluginmanager.get_plugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    # It keeps copies of the descriptors that are replaced.
    capture.stop_global_capturing()
    os.dup2(output, 1)
    os.dup2(output, 2)
    capture.start_global_capturing()
    capture.suspend_global_capture()
    # By this, a session knows the daemons that it started; see tests/support/daemons.py.
    os.environ["ROVER_TESTS"] = str(os.getpid())
    running: Path = config.option.running
    config.option.running = running.with_name(f"{running.name}-{number}")


def _wait_for(workers: dict[int, int], reports: int) -> None:
    while workers:
        pid, status = os.wait()
        if number := workers.pop(pid, 0):
            _report(reports, number, ENDED, os.waitstatus_to_exitcode(status))
    os._exit(0)


def _report(reports: int, number: int, what: str, value: int) -> None:
    os.write(reports, f"{number} {what} {value}\n".encode())


def read_report(line: str) -> tuple[int, str, int]:
    """A worker's number, BEGAN or ENDED, and its process id or its exit status."""
    number, what, value = line.split()
    return int(number), what, int(value)
