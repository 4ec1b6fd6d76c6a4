"""A pytest plugin for long runs: a line as each file of tests ends, a failure as soon as it happens.

`-p tests.support.progress`; it takes the place of pytest's dots and of its section of failures at
the end. `--running FILE` keeps the id of the running test in that file, for a supervisor. With
tests.support.shared_queue, percentages are of the queue of all processes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.support.shared_queue import SharedQueue

Status = tuple[str, str | tuple[str, dict[str, bool]], str | tuple[str, dict[str, bool]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--running", type=Path, help="keep the id of the running test in this file")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Progress(config), "progress-by-file")


class Progress:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._count = self._done = 0
        self._file = ""
        self._since = 0.0
        self._outcomes: Counter[str] = Counter()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._print(f"ERROR {report.nodeid} (collection)\n{report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._queue() is None:
            self._count = len(session.items)
            self._print(f"{self._count} tests")

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, Status, Status]:
        """Count every outcome and print no letter for it; the summary needs the word."""
        category, _, word = yield
        return category, "", word

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        file = nodeid.partition("::")[0]
        if file != self._file:
            self._end_file()
            self._file, self._since = file, time.monotonic()
        self._note(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._print(f"FAILED {report.nodeid} ({report.when})\n{_detail(report)}")
        if report.failed or report.skipped or report.when == "call":
            self._outcomes[report.outcome] += 1

    def pytest_runtest_logfinish(self) -> None:
        self._done += 1
        self._note("")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._end_file()
        # Every failure has been printed in full; the summary still lists them.
        self._config.option.tbstyle = "no"

    def _queue(self) -> SharedQueue | None:
        return self._config.pluginmanager.get_plugin("shared-queue")

    def _end_file(self) -> None:
        if not self._file:
            return
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in self._outcomes.items())
        queue = self._queue()
        part = self._done / max(self._count, 1) if queue is None else queue.taken
        seconds = time.monotonic() - self._since
        self._print(f"[{part:4.0%}] {self._file}: {outcomes}, {seconds:.1f} s")
        self._file = ""
        self._outcomes.clear()

    def _note(self, nodeid: str) -> None:
        running: Path | None = self._config.option.running
        if running is not None:
            running.write_text(nodeid)

    def _print(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(reporter, TerminalReporter)
        reporter.ensure_newline()
        reporter.write_line(text)
        reporter.flush()


def _detail(report: pytest.TestReport) -> str:
    captured = (f"--- {title} ---\n{content.rstrip()}" for title, content in report.sections)
    return "\n".join((report.longreprtext, *captured))
