"""What the data folder takes: every byte once, by project and kind, and nobody waits for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rover_mcp.daemon import disk_meter
from rover_mcp.daemon.disk_meter import FRESH_SECONDS, WITHOUT_RECORD, DiskMeter, measure
from rover_mcp.daemon.folder_sizes import FolderSizer
from rover_mcp.tasks.disk_use import SHOWN, DiskUse, ProjectUse, use_view
from tests.support.desk import ServerHarness, open_desk

SIZE = 64 * 1024


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServerHarness]:
    with open_desk(tmp_path) as made:
        yield made


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(SIZE))
    return path


def about(size: int) -> int:
    """In files of the test's; folders take less than one of these."""
    return size // SIZE


def test_every_byte_counts_once_as_what_it_is(tmp_path: Path) -> None:
    pack = write(tmp_path / "projects" / "p1" / "base.git" / "pack")
    task = tmp_path / "tasks" / "t1"
    lent = task / "base" / "pack"
    lent.parent.mkdir(parents=True)
    lent.hardlink_to(pack)
    run = task / "iterations" / "1" / "run"
    for place in (task / "work" / "a", task / "work" / "b", task / "home" / "c"):
        write(place)
    for place in (run / "journal.jsonl", run / "bundles" / "000001.bundle", tmp_path / "rover.db"):
        write(place)
    (task / "work" / "out").symlink_to(tmp_path)
    write(tmp_path / "cache" / "python" / "x")
    write(tmp_path / "tasks" / "lost" / "work" / "x")
    write(tmp_path / "trash" / "deleted.docker.0" / "work" / "x")
    use = measure(tmp_path, {"p1": "/repo"}, {"t1": "p1"}, 5.0)
    (ours, lost) = sorted(use.projects, key=lambda p: p.project != "/repo")
    found = {kind: about(size) for kind, size in ours.kinds.items()}
    assert found == {"hub": 1, "work": 3, "records": 1, "snapshots": 1}
    assert (lost.project, about(lost.bytes)) == (WITHOUT_RECORD, 1)
    shared = {kind: about(size) for kind, size in use.shared.items()}
    assert shared == {"caches": 1, "removed": 1, "other": 1}
    view = use_view(use, 65.0)
    # Only the top folders themselves are in no sum.
    assert FolderSizer().size(tmp_path) - view["bytes"] < SIZE
    assert view["age_s"] == 60


def test_the_largest_projects_are_shown_and_the_others_counted() -> None:
    projects = [ProjectUse(f"/p{n}", {"hub": n}) for n in range(SHOWN + 3)]
    view = use_view(DiskUse(0, projects, {"caches": 7}), 1)
    assert [p["bytes"] for p in view["projects"]] == list(range(SHOWN + 2, 2, -1))
    assert view["projects_more"] == 3
    assert view["kinds"] == {"hub": sum(range(SHOWN + 3)), "caches": 7}


def test_a_measurement_is_made_in_the_background_and_expires(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, clock, begun = threading.Event(), [1000.0], list[float]()

    def slow(_home: Path, _paths: object, _tasks: object, at: float, _trash: object) -> DiskUse:
        begun.append(at)
        go.wait(300)
        return DiskUse(at, [], {})

    monkeypatch.setattr(disk_meter, "measure", slow)
    monkeypatch.setattr(disk_meter, "FIRST_WAIT_SECONDS", 0.0)
    made = DiskMeter(desk.home, desk.store, lambda: clock[0])
    assert (made.use(), made.use()) == (None, None)
    go.set()
    assert made._work
    made._work.join(300)
    first = made.use()
    assert first is not None
    assert (first.at, begun) == (1000.0, [1000.0])
    clock[0] += FRESH_SECONDS + 1
    assert made.use() is first or begun == [1000.0, 1061.0]
    made._work.join(300)
    again = made.use()
    assert again is not None
    assert again.at == clock[0]
