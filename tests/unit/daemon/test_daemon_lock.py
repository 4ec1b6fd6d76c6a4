"""One daemon per data folder, for as long as the folder is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rover_mcp.daemon.daemon_lock import AlreadyHeld, hold_lock, is_lost


def test_a_data_folder_that_is_there_is_not_lost(tmp_path: Path) -> None:
    home = tmp_path / "data"
    lock = hold_lock(home)
    assert not is_lost(home, lock)
    with pytest.raises(AlreadyHeld):
        hold_lock(home)
    os.close(lock)


def test_a_data_folder_that_was_removed_or_replaced_is_lost(tmp_path: Path) -> None:
    """B.9: nobody can reach its daemon, which must not stay for a quarter of an hour."""
    home = tmp_path / "data"
    lock = hold_lock(home)
    shutil.rmtree(home)
    assert is_lost(home, lock)
    other = hold_lock(home)
    assert is_lost(home, lock)
    assert not is_lost(home, other)
    os.close(lock)
    os.close(other)
