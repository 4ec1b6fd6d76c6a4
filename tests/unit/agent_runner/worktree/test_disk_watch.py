"""The limit on what a sandbox holds on disk: when it is measured, what counts, who is stopped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from agent_runner.spec import Disk
from agent_runner.worktree import disk_usage
from agent_runner.worktree.disk_usage import MOST_DEEP, MOST_DEPTH, DiskUsage, measure
from agent_runner.worktree.disk_watch import (
    LONGEST,
    DiskExceeded,
    DiskMeasurement,
    DiskWatch,
    FreeDiskSpace,
    HostFull,
    excess,
    is_due,
    judge,
    shortage,
)

LAST = DiskMeasurement(held=60, free=1000, at=10)


@pytest.mark.parametrize(
    ("last", "free", "now", "due"),
    [
        (None, 1000, 0, True),
        (LAST, 1000, 11, False),
        (LAST, 990, 11, False),
        (LAST, 989, 11, True),
        (LAST, 2000, 11, False),
        (LAST, 1000, 10 + LONGEST, True),
        (DiskMeasurement(200, 1000, 10), 999, 11, True),
    ],
)
def test_it_is_measured_when_a_part_of_what_is_left_may_be_gone(
    last: DiskMeasurement | None, free: int, now: float, due: bool
) -> None:
    assert is_due(last, free, 100, now) is due


def test_what_is_out_of_sight_counts_as_what_the_file_system_lost() -> None:
    free = FreeDiskSpace(total=700, lowest=700)
    assert judge(DiskUsage(50), free, LAST) == 50
    assert judge(DiskUsage(50, complete=False), free, LAST) == 360
    assert judge(DiskUsage(500, complete=False), free, LAST) == 500
    assert judge(DiskUsage(50, complete=False), free, None) == 50


def test_the_message_names_the_limit_the_size_and_the_setting() -> None:
    said = excess(3 * 2**30, 64 * 2**20) or ""
    assert all(word in said for word in ("3.0 GiB", "64 MiB", "sandbox_disk_bytes"))
    assert excess(64 * 2**20, 64 * 2**20) is None
    assert "1 MiB are free" in (shortage(FreeDiskSpace(2**30, 2**20), 2**21) or "")
    assert shortage(FreeDiskSpace(0, 0), 0) is None


def size_of(*folders: Path) -> DiskUsage:
    return measure(folders, threading.Event())


def test_names_of_one_file_count_once_and_links_are_not_followed(tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 400_000)
    (work / "file").write_bytes(b"x" * 100_000)
    os.link(work / "file", work / "again")
    (work / "folder").symlink_to(outside)
    (work / "link").symlink_to(outside / "big")
    (work / "sparse").touch()
    os.truncate(work / "sparse", 10**9)
    held = size_of(work)
    assert held.complete
    assert 100_000 <= held.size < 120_000


def make_deep(root: Path, levels: int) -> None:
    """A path may not be as long as this is deep."""
    place = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 100, dir_fd=place)
        place, above = os.open("d" * 100, os.O_RDONLY, dir_fd=place), place
        os.close(above)
    with open("file", "wb", opener=lambda name, flags: os.open(name, flags, dir_fd=place)) as file:
        file.write(b"x" * 100_000)
    os.close(place)


def test_what_is_deeper_than_a_path_is_long_is_measured(tmp_path: Path) -> None:
    """U7. A task with such folders was blamed for what others wrote to the same file system."""
    make_deep(tmp_path, 3 * MOST_DEPTH + 1)
    held = size_of(tmp_path)
    assert held.complete
    assert held.size >= 100_000


def test_too_many_deep_folders_or_files_are_not_measured_completely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["d"] * (MOST_DEPTH - 1))
    deep.mkdir(parents=True)
    for number in range(MOST_DEEP + 1):
        (deep / str(number)).mkdir()
    assert not size_of(tmp_path).complete
    monkeypatch.setattr(disk_usage, "MOST_ENTRIES", 1)
    assert not size_of(tmp_path).complete


def run(watch: DiskWatch, work: Callable[[], object] | None = None) -> object:
    async def forever() -> object:
        if work:
            return work()
        return await anyio.sleep_forever()

    return anyio.run(watch.run, forever)


def watched(held: int, free: Sequence[int]) -> DiskWatch:
    left = iter(free)
    limits = Disk(limit_bytes=100, floor_bytes=50, folders=(Path("/w"),))
    found = DiskUsage(held)

    async def sleep(_: float) -> None:
        await anyio.lowlevel.checkpoint()

    def now_free(_: object) -> FreeDiskSpace:
        total = next(left)
        return FreeDiskSpace(total, total)

    return DiskWatch(limits, sleep, lambda: 0, now_free, lambda _folders, _ended: found)


def test_a_step_that_holds_too_much_is_ended() -> None:
    with pytest.raises(DiskExceeded, match="sandbox_disk_bytes"):
        run(watched(101, [1000]))


def test_a_host_that_is_nearly_full_ends_it_too() -> None:
    with pytest.raises(HostFull, match="nearly full"):
        run(watched(10, [1000, 900, 49]))


def test_what_the_work_gives_or_raises_is_passed_on() -> None:
    assert run(watched(10, [1000]), lambda: "done") == "done"

    def fail() -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        run(watched(10, [1000]), fail)


def held_as(
    found: dict[str, DiskUsage],
) -> Callable[[Sequence[os.PathLike[str]], threading.Event], DiskUsage]:
    return lambda folders, _ended: found[Path(folders[0]).name]


def watch(
    found: dict[str, DiskUsage], *, limit_files: int | None = None, elsewhere: int = 0
) -> DiskWatch:
    limits = Disk(
        limit_bytes=100,
        floor_bytes=0,
        limit_files=limit_files,
        folders=(Path("/work"),),
        records=(Path("/run"),),
        elsewhere_bytes=elsewhere,
    )
    return DiskWatch(
        limits, anyio.sleep, lambda: 0, lambda _: FreeDiskSpace(1000, 1000), held_as(found)
    )


def test_the_records_of_a_task_count_and_what_is_kept_elsewhere() -> None:
    """U8: bundles, journal and logs were beyond every limit."""
    small = {"work": DiskUsage(40), "run": DiskUsage(40)}
    assert run(watch(small), lambda: "done") == "done"
    for found, elsewhere in (({**small, "run": DiskUsage(61)}, 0), (small, 21)):
        with pytest.raises(DiskExceeded, match="snapshots") as caught:
            run(watch(found, elsewhere=elsewhere))
        assert not caught.value.by_step


def test_a_bundle_counts_twice_for_the_hub_has_it_too(tmp_path: Path) -> None:
    """U8."""
    bundles = tmp_path / "run" / "bundles"
    bundles.mkdir(parents=True)
    (bundles / "000001.bundle").write_bytes(b"x" * 100_000)
    for limit, over in ((190_000, True), (240_000, False)):
        disk = Disk(limit_bytes=limit, floor_bytes=0, records=(tmp_path / "run",), folders=())
        watched = DiskWatch(disk)
        run(watched, lambda: None)
        if not over:
            run(watched, lambda: None)
            continue
        with pytest.raises(DiskExceeded):
            run(watched, lambda: None)


def test_a_step_that_is_over_at_once_is_measured_before_the_next_one() -> None:
    """U8: a loop of short steps was never measured."""
    watched = watch({"work": DiskUsage(101), "run": DiskUsage(0)})
    started: list[int] = []
    run(watched, lambda: started.append(1))
    with pytest.raises(DiskExceeded) as caught:
        run(watched, lambda: started.append(1))
    assert started == [1]
    assert not caught.value.by_step


def test_empty_files_are_counted(tmp_path: Path) -> None:
    """U8: a million empty files fill a disk without bytes."""
    for n in range(20):
        (tmp_path / str(n)).touch()
    os.link(tmp_path / "0", tmp_path / "again")
    assert size_of(tmp_path).files == 20
    with pytest.raises(DiskExceeded, match=r"21 files and folders.*limit of 20 \(sandbox_files"):
        run(watch({"work": DiskUsage(0, files=21), "run": DiskUsage(0)}, limit_files=20))


def test_a_host_that_can_hold_no_more_files_ends_a_step() -> None:
    """U8."""
    limits = Disk(limit_bytes=100, floor_bytes=0, floor_files=50, folders=(Path("/w"),))
    free = FreeDiskSpace(1000, 1000, files=49, lowest_files=49)
    with pytest.raises(HostFull, match=r"49 more files.*min_free_files"):
        run(DiskWatch(limits, free=lambda _: free, held=held_as({"w": DiskUsage(0)})))
    assert not shortage(free, 0)
