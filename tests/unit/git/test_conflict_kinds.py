"""What sort of conflict a path has, and the places of a merged text."""

from __future__ import annotations

import pytest

from rover_mcp.domain.conflicted_file import ConflictRegion
from rover_mcp.git.conflicts import LOCK_FILES, MARKER_SIZE, conflict_kind, pieces_of
from rover_mcp.git.replay import FOLDER, IN_THE_WAY, MergeMessage, ReplayStop, StagedEntry
from rover_mcp.git.side_conflicts import (
    OLD_NAME,
    is_plain,
    rename_groups,
    stages_of,
    stop_kinds,
    unresolvable,
)

FILE, PROGRAM, LINK, SUBMODULE = "100644", "100755", "120000", "160000"


def stages(*numbers: int, mode: str = FILE, path: str = "a") -> dict[int, StagedEntry]:
    return {number: StagedEntry(mode, f"{number}" * 40, number, path) for number in numbers}


def stop(entries: list[StagedEntry], *messages: MergeMessage) -> ReplayStop:
    return ReplayStop("a" * 40, "b" * 40, "c" * 40, "d" * 40, entries, messages)


@pytest.mark.parametrize(
    ("path", "numbers", "mode", "words", "kind"),
    [
        ("a", (1, 2, 3), FILE, {"CONFLICT (contents)"}, "contents"),
        ("a", (2, 3), FILE, {"CONFLICT (add/add)"}, "added twice"),
        ("a", (1, 2, 3), SUBMODULE, set[str](), "submodule"),
        ("a", (1, 2, 3), FILE, {"CONFLICT (submodule)"}, "submodule"),
        ("a", (1, 2, 3), LINK, {"CONFLICT (contents)"}, "link"),
        ("web/package-lock.json", (1, 2, 3), FILE, {"CONFLICT (contents)"}, "lock file"),
        ("uv.lock", (1, 2), FILE, {"CONFLICT (modify/delete)"}, "modify/delete"),
        ("a", (1, 3), FILE, {"CONFLICT (modify/delete)"}, "modify/delete"),
        ("a", (1,), FILE, {"CONFLICT (rename/rename)"}, "rename"),
        ("a", (1, 2, 3), FILE, {"CONFLICT (directory rename split)"}, "rename"),
        ("a", (2, 3), FOLDER, {IN_THE_WAY}, "file/folder"),
        ("a", (2, 3), FILE, {IN_THE_WAY}, "other"),
        ("a", (2,), FILE, {"CONFLICT (file location)"}, "rename"),
        ("a", (1, 2, 3), FILE, {"CONFLICT (binary)"}, "binary"),
        ("a", (2,), FILE, set[str](), "other"),
        ("a", (1, 2, 3), FILE, {"CONFLICT (distinct modes)"}, "mode"),
    ],
)
def test_a_conflict_is_told_by_its_sides_and_by_gits_words(
    path: str, numbers: tuple[int, ...], mode: str, words: set[str], kind: str
) -> None:
    assert conflict_kind(path, stages(*numbers, mode=mode, path=path), words) == kind


def test_the_same_text_with_two_modes_is_a_conflict_of_modes() -> None:
    sides = {2: StagedEntry(FILE, "a" * 40, 2, "a"), 3: StagedEntry(PROGRAM, "a" * 40, 3, "a")}
    assert conflict_kind("a", sides, set()) == "mode"


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_file_is_one_in_every_folder(name: str) -> None:
    assert conflict_kind(f"deep/{name}", stages(1, 2, 3), {"CONFLICT (contents)"}) == "lock file"
    assert conflict_kind(f"not-{name}", stages(1, 2, 3), set()) == "contents"


def marked(onto: str, base: str, branch: str) -> str:
    return "".join(
        f"{mark * MARKER_SIZE} name\n{text}"
        for mark, text in (("<", onto), ("|", base), ("=", branch), (">", ""))
    )


def test_a_merged_text_falls_into_agreed_and_conflicting_pieces() -> None:
    first, second = marked("two\n", "old\n", "zwei\ndrei\n"), marked("", "gone\n", "x\n")
    assert list(pieces_of(f"one\n{first}three\n{second}")) == [
        "one\n",
        ConflictRegion(line=2, onto="two\n", base="old\n", branch="zwei\ndrei\n"),
        "three\n",
        ConflictRegion(line=4, onto="", base="gone\n", branch="x\n"),
    ]
    assert list(pieces_of("")) == []
    assert list(pieces_of("only\nthis")) == ["only\nthis"]


def test_the_kinds_of_a_stop_tell_what_can_be_resolved() -> None:
    entries = [
        *stages(1, 2, 3, path="text").values(),
        *stages(1, 2, 3, path="image").values(),
        *stages(1, path="old").values(),
        *stages(1, 2, 3, path="odd\udc80").values(),
    ]
    messages = (
        MergeMessage(["text"], "CONFLICT (contents)", ""),
        MergeMessage(["image"], "CONFLICT (contents)", ""),
        MergeMessage(["old"], "CONFLICT (rename/rename)", ""),
    )
    stopped = stop(entries, *messages)
    assert stop_kinds(stopped, lambda path: path != "image") == {
        "text": "contents", "image": "binary", "old": OLD_NAME, "odd\udc80": "other",
    }  # fmt: skip
    assert is_plain(stopped)
    assert stages_of(stopped, "old").keys() == {1}
    assert unresolvable(stopped, lambda _: True) == {"odd\udc80": "other"}


def test_what_git_moved_out_of_the_way_is_not_resolved() -> None:
    entries = list(stages(1, 2, 3).values())
    moved = stop(entries, MergeMessage(["a", "a~HEAD"], "CONFLICT (distinct types)", ""))
    assert not is_plain(moved)
    assert unresolvable(moved, lambda _: True)["a~HEAD"] == "distinct types"


def test_the_names_that_both_sides_gave_to_one_file_are_a_group() -> None:
    entries = [*stages(1, path="old").values(), *stages(2, path="x").values()]
    renamed = stop(entries, MergeMessage(["old", "x", "y"], "CONFLICT (rename/rename)", ""))
    kinds = {"old": OLD_NAME, "x": "rename", "y": "rename"}
    assert rename_groups(renamed, kinds) == [["x", "y"]]
