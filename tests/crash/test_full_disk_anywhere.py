"""A data folder whose disk is full at some point of a task's life. Real processes, a small tmpfs."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import daemon_pid, docker_host, end_daemon, engine_for_daemons
from tests.e2e.processes import wait_until
from tests.support.frames import Frame, StartingClient
from tests.support.repos import git, make_repository
from tests.support.scripts import CREDITS, script

__all__ = ["docker_host", "engine_for_daemons"]

SMALL, LARGE = "32m", "512m"
CONFIG = """
min_free_bytes: 4000000
min_free_files: 0
sweep_interval: 1
idle_exit: 60
concurrency: 1
auto_resume: false
trash_days: 0
"""
WORKFLOW = """
version: "1.0"
name: fill
steps:
  - {id: work, type: agent, prompt: "work"}
"""
FILL = (
    "free=$(df -k --output=avail . | tail -n 1); "
    "head -c $(( free * 1024 / 100 * {share} )) /dev/urandom > big"
)
UNTIL_FULL = "until [ $(df -k --output=avail . | tail -n 1) -lt 100 ]; do sleep 0.05; done"
DONE: Frame = {"edits": [{"path": "new.txt", "content": "new\n"}]}
SHARES = {"in a step": 150, "at the bundle": 40, "at the import": 28}
"""Percent of what is free that a step writes, by where the disk is full then."""


class Disk:
    """A small file system, with a data folder on it and its client; the repository is elsewhere."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.root, self.home = folder / "disk", folder / "disk/data"
        self.root.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(self.root)]
        subprocess.run(argv, check=True)
        self.home.mkdir()
        (self.home / "config.yaml").write_text(config)
        (self.home / "workflows").mkdir()
        (self.home / "workflows/fill.yaml").write_text(WORKFLOW)
        self.repository = make_repository(folder / "repository")
        self.client = StartingClient(self.home, self.repository)

    def resize(self, size: str) -> None:
        argv = ["mount", "-o", f"remount,size={size}", str(self.root)]
        subprocess.run(argv, check=True)

    def fill(self) -> Path:
        filler = self.root / "filler"
        for size in (2**20, 4096, 1):
            with filler.open("ab", buffering=0) as file, suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
        return filler

    @contextmanager
    def kept_full(self) -> Generator[None]:
        """Full within, whatever Rover deletes there."""
        filler = self.fill()
        argv = ["sh", "-c", 'while :; do head -c 1M /dev/zero >> "$1"; done', "sh", str(filler)]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.kill()
        filler.unlink()

    def empty_the_write_ahead_log(self) -> None:
        """Else the database writes where the log's file already has space, on a full disk, too."""

        def is_empty(database: sqlite3.Connection) -> bool:
            [busy, *_] = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return busy == 0

        with closing(sqlite3.connect(self.home / "rover.db")) as database:
            wait_until(partial(is_empty, database), "the log is empty")

    def create(self, *work: Frame) -> str:
        new = {"description": "Work", "workflow": "fill", "agent": "scripted",
               "engine": "bubblewrap", "script": script(work=list(work))}  # fmt: skip
        return str(self.client.tool("create_task", **new)["task"]["id"])

    def view(self, task: str) -> Frame:
        view: Frame = self.client.tool("inspect", task=task)["task"]
        return view

    def recorded_status(self, task: str) -> str:
        with closing(sqlite3.connect(self.home / "rover.db")) as database:
            rows = database.execute("SELECT status FROM rover_tasks WHERE id = ?", [task])
            return str(rows.fetchone()[0])

    def resume(self, task: str) -> None:
        """Resume it once its pause is recorded; it may be shown as paused before."""

        def is_resumed() -> bool:
            return bool(self.client.tool("resume_task", task=task)["result"] == "resumed")

        wait_until(is_resumed, "it can be resumed")

    def agent_has_begun(self, task: str) -> bool:
        state = self.home / "tasks" / task / "home/.scripted/state.json"
        return state.is_file() and '"work":1' in state.read_text()

    def rests(self, task: str) -> Frame:
        """The task as it is shown once it stands still."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            result: Any = self.client.tool("wait_for_task", task=task, timeout_s=5)
            if result["returned"] != "timeout":
                view: Frame = result["task"]
                return view
        raise AssertionError(self.view(task))

    def empty(self) -> None:
        """Delete every task, also those that a failed test left at work."""
        for task in self.client.tool("list_tasks")["tasks"]:
            if task["status"] in ("NEW", "IN_PROGRESS"):
                self.client.tool("cancel_task", task=task["id"])
                self.rests(task["id"])
            self.client.tool("delete_task", task=task["id"], confirm=True)
        trash = self.home / "trash"
        wait_until(lambda: not list(trash.glob("*")), "their files are gone", timeout=300)

    def has_ended(self, task: str) -> bool:
        return bool(self.view(task)["status"] == "COMPLETED")

    def is_paused_for_it(self, task: str) -> None:
        view = self.rests(task)
        assert view["status"] == "PAUSED", view
        message = view["pause"]["message"]
        assert "disk" in message, message
        assert str(self.root) in message, message
        assert "then resume" in message, message
        tasks = self.client.tool("list_tasks")["tasks"]
        [listed] = [t for t in tasks if task.startswith(t["id"])]
        assert listed["status"] == "PAUSED"

    def close(self) -> None:
        self.client.close()
        end_daemon(self.home)
        subprocess.run(["umount", "-l", str(self.root)], check=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    disk = Disk(tmp_path_factory.mktemp("full"))
    disk.client.open()
    yield disk
    disk.close()


@pytest.fixture
def disk(shared: Disk) -> Iterator[Disk]:
    """Small and empty again for each test, with the same daemon."""
    shared.resize(SMALL)
    before = daemon_pid(shared.home)
    yield shared
    shared.resize(LARGE)
    (shared.root / "filler").unlink(missing_ok=True)
    shared.empty()
    assert daemon_pid(shared.home) == before


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_a_step_that_fills_the_disk_pauses_until_there_is_space(disk: Disk, share: int) -> None:
    """C3, E2, L7: nothing of the step is lost."""
    task = disk.create({**DONE, "run": FILL.format(share=share)}, DONE)
    disk.is_paused_for_it(task)
    disk.resize(LARGE)
    disk.resume(task)
    view = disk.rests(task)
    assert view["status"] == "COMPLETED", view
    assert git(disk.repository, "show", f"{view['branch']}:new.txt") == "new"
    assert git(disk.repository, "cat-file", "-s", f"{view['branch']}:big")


def test_a_task_prepared_on_a_full_disk_pauses_and_can_be_deleted(
    disk: Disk,
) -> None:
    """L7: also by a call that must be recorded on that disk."""
    waiting = disk.create({"run": UNTIL_FULL, "error": CREDITS}, DONE)
    queued = disk.create(DONE)
    third = disk.create(DONE)
    wait_until(lambda: disk.view(waiting)["phase"].startswith("step"), "it works")
    disk.fill()
    disk.is_paused_for_it(queued)
    assert disk.rests(waiting)["status"] == "PAUSED"
    disk.is_paused_for_it(third)
    assert disk.client.tool("resume_task", task=queued)["result"] == "resumed"
    disk.is_paused_for_it(queued)
    assert disk.client.tool("cancel_task", task=third)["task"]["status"] == "CANCELLED"
    assert disk.client.tool("delete_task", task=third, confirm=True)
    (disk.root / "filler").unlink()
    for task in (waiting, queued):
        disk.resume(task)
        assert disk.rests(task)["status"] == "COMPLETED"


def test_a_task_that_cannot_even_be_recorded_is_shown_as_paused(tmp_path: Path) -> None:
    """C3, L7: what fills the disk may take the reserve, too, before the database can use it."""
    disk = Disk(tmp_path)
    try:
        disk.client.open()
        reserve = disk.home / "reserve"
        reserve.unlink(missing_ok=True)
        reserve.mkdir()  # which nothing can extend
        task = disk.create({"delay": 600}, DONE)
        wait_until(lambda: disk.agent_has_begun(task), "its agent has recorded its session")
        disk.empty_the_write_ahead_log()
        with disk.kept_full():
            disk.is_paused_for_it(task)
        wait_until(lambda: disk.recorded_status(task) == "PAUSED", "it is settled")
        disk.resume(task)
        assert disk.rests(task)["status"] == "COMPLETED"
    finally:
        disk.close()


def test_tasks_that_paused_for_a_full_disk_resume_once_it_has_space(tmp_path: Path) -> None:
    """L7, E2: in a step, and before a task has begun."""
    disk = Disk(tmp_path, CONFIG.replace("auto_resume: false\n", ""))
    try:
        disk.client.open()
        tasks = [disk.create({"delay": 600}, DONE), disk.create(DONE)]
        wait_until(lambda: disk.view(tasks[0])["phase"].startswith("step"), "it works")
        filler = disk.fill()
        for task in tasks:
            disk.is_paused_for_it(task)
            pause = disk.view(task)["pause"]
            assert pause["auto_resume"] is True
            assert "space on that disk" in pause["waits_because"]
        filler.unlink()
        for task in tasks:
            done = partial(disk.has_ended, task)
            wait_until(done, f"{task} resumes automatically", timeout=300)
    finally:
        disk.close()
