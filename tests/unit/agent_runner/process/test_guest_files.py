"""What an agent is shown of its work tree, whatever lies there."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from agent_runner.process import guest_files
from agent_runner.process.commands import CommandKilled
from agent_runner.process.guest_files import MAX_NAMES, NotReadable, read_for_agent
from agent_runner.process.spawn import make_commands
from tests.support.runs import RunFolders
from tests.support.trees import do


@pytest.fixture
def place(tmp_path: Path) -> RunFolders:
    return RunFolders(tmp_path / "task", "", attempt=1)


def read(place: RunFolders, path: str, limit: int = 1000) -> str:
    commands = make_commands(place.spec())
    return do(lambda: read_for_agent(commands, path, limit, PurePosixPath(place.work)))


def refusal(place: RunFolders, path: str) -> str:
    with pytest.raises(NotReadable) as error:
        read(place, path)
    return str(error.value)


def test_a_file_gives_its_text_up_to_a_limit(place: RunFolders) -> None:
    (place.work / "-n 'x").write_text("ä\nb\n")
    assert read(place, "-n 'x") == "ä\nb\n"
    assert read(place, str(place.work / "-n 'x")) == "ä\nb\n"
    (place.work / "long").write_text("x" * 2000)
    assert read(place, "long") == "x" * 1000 + "\n[cut after 1000 bytes]\n"
    (place.work / "raw").write_bytes(b"a\xff")
    assert read(place, "raw") == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("path", ["d", "d/", "./d"])
def test_a_folder_that_is_read_as_a_file_gives_a_listing(place: RunFolders, path: str) -> None:
    """G9."""
    folder = place.work / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "b").touch()
    (folder / ".hidden").touch()
    (folder / "line\nbreak").touch()
    text = read(place, path)
    assert text.splitlines() == [
        f"{path} is a folder. It holds:",
        ".hidden",
        "b",
        "line?break",
        "sub/",
    ]
    assert read(place, ".").splitlines()[1:] == ["d/"]
    assert read(place, "d/sub").endswith("(nothing)")


def test_a_listing_ends_somewhere(place: RunFolders) -> None:
    """G9."""
    (place.work / "d").mkdir()
    for number in range(MAX_NAMES + 2):
        (place.work / f"d/{number:05}").touch()
    lines = read(place, "d").splitlines()
    assert len(lines) == MAX_NAMES + 2
    assert lines[-1] == f"[and more: the first {MAX_NAMES} are shown]"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_what_is_not_in_the_work_tree_is_refused(place: RunFolders, path: str) -> None:
    assert refusal(place, path) == f"{path}: it is not in the work tree"


def test_what_cannot_be_read_is_a_clear_error(place: RunFolders) -> None:
    """G9: and a pipe without a writer holds nobody up."""
    os.mkfifo(place.work / "fifo")
    (place.work / "null").symlink_to("/dev/zero")
    (place.work / "dangling").symlink_to("nowhere")
    assert refusal(place, "none") == "none: it does not exist"
    assert refusal(place, "fifo") == "fifo: it is neither a file nor a folder"
    assert refusal(place, "null") == "null: it is neither a file nor a folder"
    assert refusal(place, "dangling") == "dangling: it is neither a file nor a folder"
    for path in ("a\0b", "x" * 5000):
        assert "not a path" in refusal(place, path)


def test_a_look_that_takes_too_long_ends(
    place: RunFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that became a pipe between two looks at it, say."""
    monkeypatch.setattr(guest_files, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(guest_files, "_LOOK", "exec sleep 60")
    assert refusal(place, "x") == "x: it took longer than 0.2 s to read"


def test_a_look_that_was_killed_says_nothing_of_the_path(
    place: RunFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D8."""
    monkeypatch.setattr(guest_files, "_LOOK", "kill -9 $$")
    with pytest.raises(CommandKilled):
        read(place, "x")
