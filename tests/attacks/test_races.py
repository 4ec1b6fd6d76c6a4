"""What is read on the host while somebody swaps it: never a byte from elsewhere, never a wait."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.config.safe_read import FileRefused, read_beneath
from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.git.bundle import open_bundle
from rover_mcp.tasks.step_logs import read_journal, read_log

ROUNDS = 2_500
CANARY = "canary-outside-of-the-sandbox"
GOOD = "what is meant"

# Renames a plain file, a link out, a folder, a pipe and a hard link into the place in turn; with
# `parent` a folder above it, in turn with a link to the one outside.
SWAP = r"""
import os, sys
place, outside, parent = sys.argv[1:]
new = place + ".next"
def plain(): open(new, "w").write("what is meant")
def link(): os.symlink(os.path.join(outside, "file"), new)
def folder(): os.mkdir(new)
def pipe(): os.mkfifo(new)
def up():
    for away in (parent + ".a",):
        os.rename(parent, away); os.symlink(outside, parent)
        os.unlink(parent); os.rename(away, parent)
makers = [up] if parent else [plain, link, pipe, plain, folder]
print("ready", flush=True)
while True:
    for make in makers:
        make()
        if not parent:
            if os.path.isdir(place) and not os.path.islink(place):
                os.rmdir(place)
            if make is folder:
                os.unlink(place)
            os.rename(new, place)
"""


@dataclass(frozen=True)
class RaceScenario:
    root: Path
    outside: Path

    @contextlib.contextmanager
    def swapped(self, place: Path, parent: Path | None = None) -> Iterator[None]:
        """While somebody swaps what is at `place`, as fast as they can."""
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(GOOD)
        argv = [sys.executable, "-c", SWAP, place, self.outside, parent or ""]
        with subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                yield
                assert process.poll() is None, "somebody swapped to the end"
            finally:
                process.kill()


@pytest.fixture
def scene(tmp_path: Path) -> RaceScenario:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("file", "implement.log", "journal.jsonl", "000001.bundle", "name"):
        (outside / name).write_text(CANARY)
    return RaceScenario(tmp_path / "root", outside)


def read_a_bundle(path: Path) -> str:
    with open_bundle(path, 1000) as (_, pack):
        return pack.read().decode()


READERS: dict[str, tuple[str, bool, Callable[[Path], str]]] = {
    "log": ("logs/implement.log", False, lambda p: read_log(p / "logs", "implement", 10).text),
    "journal": ("journal.jsonl", False, lambda p: read_journal(p / "journal.jsonl")),
    "bundle": (
        "bundles/000001.bundle",
        False,
        lambda p: read_a_bundle(p / "bundles/000001.bundle"),
    ),
    "file": ("name", False, lambda p: read_beneath(p, "name", 1000).data.decode()),
    "folder": ("a/b/name", True, lambda p: read_beneath(p, "a/b/name", 1000).data.decode()),
}


def rounds() -> Iterator[int]:
    """Numbers for five minutes: on a busy machine, the process that swaps may not get a turn for long."""
    end = time.monotonic() + 300
    for done in itertools.count():
        if time.monotonic() > end:
            return
        yield done


@pytest.mark.known_escape(2)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_swapped_while_it_is_read_gives_nothing_from_elsewhere(
    scene: RaceScenario, reader: str
) -> None:
    """Row 2 of the anchors, U3: at least 12,500 rounds in all, with a file, a link out, a folder and a pipe
    in turn, or a link in place of a folder above."""
    place, above, read = READERS[reader]
    path = scene.root / place
    seen = {"good": 0, "refused": 0}
    with scene.swapped(path, path.parent if above else None):
        for done in rounds():
            if done >= ROUNDS and seen["refused"] and (seen["good"] or reader == "bundle"):
                break
            try:
                said = read(scene.root)
            except (EnvironmentFault, NotFound, FileRefused) as error:
                said = str(error)
                seen["refused"] += 1
            assert CANARY not in said
            seen["good"] += GOOD in said
    assert seen["refused"], seen
    assert seen["good"] or reader == "bundle", seen


def followed(path: Path) -> bytes:
    """What is read there by one who takes no care, but waits for nobody."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(handle, 1000)
    except OSError:
        return b""
    finally:
        os.close(handle)


@pytest.mark.parametrize("reader", READERS)
def test_the_same_race_is_won_against_one_who_follows_links(
    scene: RaceScenario, reader: str
) -> None:
    """So that the attack does not fail for a reason of its own."""
    place, above, _ = READERS[reader]
    path = scene.root / place
    with scene.swapped(path, path.parent if above else None):
        for _ in rounds():
            if CANARY.encode() in followed(path):
                return
    raise AssertionError("the canary was never seen")
