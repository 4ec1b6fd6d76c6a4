"""Answers for conflicts: by their sides, in a task's folder, and for other tasks once agreed to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.side_choice import FileAnswer
from rover_mcp.store import resolutions
from rover_mcp.store.resolutions import CheckResult, ResolutionAnswer, Resolutions

ANSWER = ResolutionAnswer(path="f", text="both\r\n\u2028", given_up=("x (why)",))


@pytest.fixture
def known(tmp_path: Path) -> Resolutions:
    return Resolutions(tmp_path / "task", tmp_path / "project")


def test_an_answer_is_read_as_it_was_kept(known: Resolutions) -> None:
    known.put("key", ANSWER)
    assert (known.answer("key"), known.file_answer("key"), known.file_answer("other")) == (
        ANSWER, FileAnswer(ANSWER.text), None,
    )  # fmt: skip


def test_a_damaged_answer_is_none(known: Resolutions) -> None:
    known.put("key", ANSWER)
    (known.folder / "key.json").write_bytes(b"{\xff")
    assert known.answer("key") is None


def test_what_is_known_of_the_result_belongs_to_that_result(known: Resolutions) -> None:
    assert (known.resolver, known.shown, known.check_of("a")) == (None, None, None)
    known.begin("task")
    known.note_shown("a")
    known.note_check(CheckResult(tip="a", problem="red"))
    assert (known.resolver, known.shown) == ("task", "a")
    assert (known.check_of("a"), known.check_of("b")) == (CheckResult(tip="a", problem="red"), None)


def test_other_tasks_have_what_was_agreed_to_and_lock_files_not(
    known: Resolutions, tmp_path: Path
) -> None:
    known.put("key", ANSWER)
    known.put("lock", ANSWER.model_copy(update={"written_by": "uv lock"}))
    other = Resolutions(tmp_path / "other", known.earlier)
    assert other.answer("key") is None
    known.remember(["key", "lock", "none"])
    assert (other.answer("key"), other.answer("lock")) == (ANSWER, None)
    other.forget()
    assert other.answer("key") is None


def test_the_newest_are_remembered(known: Resolutions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolutions, "MOST_REMEMBERED", 2)
    assert known.earlier is not None
    for age, key in enumerate("abc"):
        known.put(key, ANSWER)
        known.remember([key])
        os.utime(known.earlier / f"{key}.json", (age, age))
    known.remember([])
    assert {file.stem for file in known.earlier.iterdir()} == {"b", "c"}


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be kept"):
        Resolutions(tmp_path / "file").put("key", ANSWER)
