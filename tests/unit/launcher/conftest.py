from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.stub_daemon import LauncherProcess, StubDaemon

Launch = Callable[..., LauncherProcess]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def stub(home: Path) -> Iterator[StubDaemon]:
    daemon = StubDaemon(home)
    yield daemon
    daemon.close()


@pytest.fixture
def launch(home: Path) -> Iterator[Launch]:
    started: list[LauncherProcess] = []

    def start(*arguments: str, **options: object) -> LauncherProcess:
        process = LauncherProcess(home, *arguments, **options)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()
