"""V1: what no step can have meant is looked at before it is delivered, and only that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from rover_mcp.control.delivery_warnings import EMPTY_BLOB, Delivery, doubt
from rover_mcp.git.changes import ChangedFile


def repository(folders: int, files: int) -> list[str]:
    return [f"src/d{d}/f{f}.py" for d in range(folders) for f in range(files)]


def deleted(paths: Iterable[str]) -> list[ChangedFile]:
    return [ChangedFile(path, "D", f"blob of {path}", "0" * 40) for path in paths]


def added(paths: Iterable[str], content: str = "") -> list[ChangedFile]:
    return [ChangedFile(path, "A", "0" * 40, content or f"new blob of {path}") for path in paths]


def judged(
    before: Sequence[str],
    changes: Sequence[ChangedFile],
    *words: str,
    late: Sequence[ChangedFile] = (),
) -> str | None:
    gone = {c.path for c in changes if c.kind == "D"}
    after = [p for p in before if p not in gone] + [c.path for c in changes if c.kind == "A"]
    return doubt(Delivery(changes, late, words, lambda: before, lambda: after))


def test_a_tree_that_was_cut_off_is_not_delivered() -> None:
    """8,032 of 57,000 files, where three lines were to be changed."""
    before = repository(570, 100)
    said = judged(before, deleted(before[-8032:]), "Fix the sum in src/d0/f0.py")
    assert said is not None
    assert "deletes or empties 8,032 of 57,000 files" in said
    assert "src/d489/f68.py" in said


@pytest.mark.parametrize(
    ("folders", "files", "gone", "stopped"),
    [
        (1, 5, 4, False),
        (1, 25, 19, False),
        (1, 40, 20, True),
        (1, 41, 20, False),
        (10, 100, 99, False),
        (10, 100, 100, True),
        (11, 100, 100, False),
        (600, 100, 999, False),
        (600, 100, 1000, True),
    ],
)
def test_few_files_pass_and_many_do_not(folders: int, files: int, gone: int, stopped: bool) -> None:
    before = repository(folders, files)
    said = judged(before, deleted(before[:gone]), "Tidy up")
    assert (said is not None) is stopped


@pytest.mark.parametrize(
    "words",
    [
        "Delete the folder src/d1",
        "Please remove d1 and all that is in it.",
        "Keep src/d0.\nrm -rf src/d1/*",
        "git rm -r /workspace/src/d1/",
        "get rid of `src/d1/`, it is old",
        "remove `d1`; delete what is below it",
    ],
)
def test_a_folder_that_is_to_be_deleted_may_be(words: str) -> None:
    before = repository(3, 200)
    assert judged(before, deleted(p for p in before if p.startswith("src/d1/")), words) is None


@pytest.mark.parametrize(
    "words",
    [
        "Fix the typo in src/d1",
        "Remove the unused import in src/d1/f0.py",
        "Delete the folder d2",
        "Remove all dead code. The sum in d1 is wrong",
    ],
)
def test_a_name_alone_explains_no_deletion(words: str) -> None:
    before = repository(3, 200)
    gone = deleted(p for p in before if p.startswith("src/d1/"))
    assert judged(before, gone, words) is not None


@pytest.mark.parametrize(
    "words", ["Delete all *.snap files", "Remove every .snap", "rm -f **/*.snap"]
)
def test_files_of_a_kind_may_be_deleted_if_all_of_them_are(words: str) -> None:
    snapshots = [f"tests/d{n}/page.snap" for n in range(300)]
    before = [*repository(1, 300), *snapshots]
    assert judged(before, deleted(snapshots), words) is None
    assert judged(before, deleted(snapshots[:-1]), words) is not None


def test_a_folder_of_which_something_is_left_is_not_explained_by_its_name() -> None:
    """A check-out that was cut off in the middle of it."""
    before = repository(3, 200)
    assert judged(before, deleted(before[201:400]), "Remove the debug output in d1") is not None


def test_files_that_moved_are_not_gone() -> None:
    """With the same content, or as many of the same name, as where a package gets another name."""
    before = repository(3, 300)
    renamed = [p.replace("src/", "lib/") for p in before]
    same = [
        ChangedFile(p, "A", "0" * 40, f"blob of {old}")
        for p, old in zip(renamed, before, strict=True)
    ]
    assert judged(before, [*deleted(before), *same], "Rename") is None
    assert judged(before, [*deleted(before), *added(renamed)], "Rename") is None
    assert judged(before, [*deleted(before), *added(renamed[:300])], "Rename") is not None


def test_files_that_lost_their_content_count_as_gone() -> None:
    before = repository(3, 200)
    emptied = [ChangedFile(path, "M", f"blob of {path}", EMPTY_BLOB) for path in before]
    assert judged(before, emptied, "Format everything") is not None


def test_a_formatter_may_touch_every_file() -> None:
    before = repository(600, 100)
    touched = [ChangedFile(path, "M", f"blob of {path}", f"new blob of {path}") for path in before]
    assert judged(before, touched, "Format everything") is None


def test_what_no_step_did_is_not_delivered_however_little_it_is() -> None:
    before = repository(1, 5)
    said = judged(before, deleted(before[:1]), "Delete f0.py", late=deleted(before[:1]))
    assert said is not None
    assert said.startswith("1 file changed after the last step had ended")


def test_sixty_thousand_deletions_are_judged_at_once() -> None:
    before = repository(600, 100)
    words = "Remove " + " ".join(f"d{n}" for n in range(300)) + ". Delete *.md and .snap files"
    said = judged(before, deleted(before), words)
    assert said is not None
    assert "deletes or empties 30,000 of 60,000 files" in said
