"""A pytest plugin for several pytest processes that run the files of one queue.

`-p tests.support.shared_queue --queue FILE`: FILE is what `write_queue` wrote. Each process takes
the next group of files when its last one ends, so that none idles while another has work left.
A file is collected only by the process that runs it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Group(NamedTuple):
    """Files that one process runs one after the other, and the seconds that this is to take."""

    seconds: float
    files: Sequence[str]


def write_queue(path: Path, groups: Sequence[Group]) -> None:
    path.write_text(json.dumps(groups))
    _position(path).write_text("0")


class SharedQueue:
    """The groups of a queue's file that this process takes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._groups = [Group(*group) for group in json.loads(path.read_text())]
        self.taken = 0.0
        """The part of all work, from 0 to 1, that any process had taken before this one's last."""

    def take(self) -> Sequence[str]:
        """The next group's files; none if the queue is empty."""
        with _position(self._path).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = int(file.read())
            if number == len(self._groups):
                return ()
            file.seek(0)
            file.write(str(number + 1))
        seconds = [group.seconds for group in self._groups]
        self.taken = sum(seconds[:number]) / sum(seconds)
        return self._groups[number].files

    def pytest_collection(self) -> bool:
        """Collect nothing before a group is taken."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        run: Any = session.config.hook.pytest_runtest_protocol
        count = 0
        while files := self.take():
            items = session.perform_collect(files)
            count += len(items)
            for item, following in zip_longest(items, items[1:], fillvalue=_Unknown(session)):
                run(item=item, nextitem=following)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
        # By this pytest decides on its exit status.
        session.testscollected = count
        return True


class _Unknown:
    """In the place of the next test, which is not known yet: of all that is set up, it needs what
    belongs to the session."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def listchain(self) -> list[pytest.Session]:
        return [self._session]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--queue", type=Path, help="take the test files to run from this queue")


def pytest_configure(config: pytest.Config) -> None:
    path: Path | None = config.getoption("--queue")
    if path is not None:
        config.pluginmanager.register(SharedQueue(path), "shared-queue")


def _position(path: Path) -> Path:
    return path.with_suffix(".position")
