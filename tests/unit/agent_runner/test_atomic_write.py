from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent_runner.atomic_write import replace_file


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    replace_file(path, "new", durable=True)

    assert path.read_text("utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_a_secret_has_its_mode_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "secret", mode=0o600)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "\ud800")

    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
