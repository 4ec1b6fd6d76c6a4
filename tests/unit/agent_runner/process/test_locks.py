"""A held lock proves a life; who only looks is not taken for one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_runner.process import locks
from agent_runner.process.locks import is_held, open_lock, take_lock, try_lock


def test_who_only_checks_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check holds the lock for microseconds, or for as long as a busy machine gives it no turn."""
    path, pauses = tmp_path / "lock", list[float]()
    checker = open_lock(path)
    assert try_lock(checker, shared=True)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 100:
            os.close(checker)

    monkeypatch.setattr(locks.time, "sleep", pause)
    handle = take_lock(path)
    assert len(pauses) == 100
    assert is_held(path)
    os.close(handle)
    assert not is_held(path)


def test_a_holder_is_waited_for_as_often_as_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pauses = tmp_path / "lock", list[float]()
    holder = take_lock(path)
    monkeypatch.setattr(locks.time, "sleep", pauses.append)
    for tries in (1, 10):
        pauses.clear()
        with pytest.raises(BlockingIOError, match="another process holds"):
            take_lock(path, tries=tries)
        assert len(pauses) == tries - 1
    os.close(holder)
    os.close(take_lock(path))
