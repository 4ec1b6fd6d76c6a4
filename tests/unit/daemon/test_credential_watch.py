"""When it is due to look for a credential that tasks wait for (Q5)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from rover_mcp.daemon.credential_watch import MOST_SECONDS, CredentialWatch


@dataclass
class Clock:
    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@dataclass
class WatchedCredentials:
    file: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.watch = CredentialWatch(lambda: [self.file], self.clock)
        assert self.watch.is_due(["a task"])
        assert not self.watch.is_due(["a task"])


def test_nothing_is_looked_for_while_no_task_waits(tmp_path: Path) -> None:
    watched = WatchedCredentials(tmp_path / "key")
    watched.clock.at += 1000
    watched.watch.wake()
    assert not watched.watch.is_due([])


def test_a_minute_a_client_a_file_and_another_task_are_each_a_reason_once(tmp_path: Path) -> None:
    """Q5: on a connection, on a change, and at most once a minute else."""
    watched = WatchedCredentials(tmp_path / "key")

    def due(*tasks: str) -> list[bool]:
        return [watched.watch.is_due(tasks or ("a task",)) for _ in range(2)]

    watched.clock.at += MOST_SECONDS - 1
    assert due() == [False, False]
    watched.clock.at += 1
    assert due() == [True, False]
    watched.watch.wake()
    assert due() == [True, False]
    watched.file.write_text("k")
    assert due() == [True, False]
    os.utime(watched.file, ns=(1, 1))
    assert due() == [True, False]
    watched.file.unlink()
    assert due() == [True, False]
    assert due("a task", "another") == [True, False]
    assert due("another") == [False, False]
