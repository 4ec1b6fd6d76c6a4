"""A pytest plugin for several pytest processes that run the files of one queue.

`-p tests.support.shared_queue --queue FILE`: FILE is what `write_queue` wrote. Each process takes
the next group of files when its last one ends, so that none idles while another has work left.
Each process has collected all files, since pytest binds the fixtures of a conftest.py to the folder's
node, of which a second collection would make another; see forked_workers.py.
"""

from __future__ import annotations

import fcntl
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.forked_workers import fork_workers


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

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        run: Any = session.config.hook.pytest_runtest_protocol
        tests: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            tests[item.nodeid.partition("::")[0]].append(item)
        fork_workers(session.config)
        while files := self.take():
            items = [item for file in files for item in tests[file]]
            for item, following in zip_longest(items, items[1:], fillvalue=_Unknown(session)):
                run(item=item, nextitem=following)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
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
