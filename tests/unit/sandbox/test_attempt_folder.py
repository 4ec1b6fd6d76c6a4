"""Who lives is told by a lock, and what an agent made can be removed (J2)."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from rover_mcp.sandbox.attempt_folder import AttemptFolder, remove_tree
from rover_mcp.sandbox.protocol import SandboxExit, SandboxState
from rover_mcp.sandbox.supervise import start_time, take_lock, write_json


def test_a_held_lock_is_life_and_its_end_is_an_event(tmp_path: Path) -> None:
    attempt = AttemptFolder(tmp_path)
    assert not attempt.alive()
    lock = take_lock(tmp_path)
    assert lock is not None
    assert attempt.alive()
    assert attempt.info().state is SandboxState.RUNNING
    write_json(tmp_path / "exit.json", {"code": 2})
    waiter = threading.Thread(target=attempt.wait)
    waiter.start()
    os.close(lock)
    waiter.join(300)
    assert not waiter.is_alive()
    assert attempt.exit() == SandboxExit(2)


def test_only_one_supervisor_holds_it(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    assert take_lock(tmp_path) is None
    assert lock is not None
    os.close(lock)


def test_asking_does_not_keep_a_supervisor_out(tmp_path: Path) -> None:
    asking = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, (asking,)).start()
    lock = take_lock(tmp_path)
    assert lock is not None
    os.close(lock)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"code": "x"}', '{"code": null}'])
def test_an_exit_that_nobody_recorded_is_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "exit.json").write_text(text)
    assert AttemptFolder(tmp_path).exit().code is None


def test_an_attempt_without_records_is_listed_all_the_same(tmp_path: Path) -> None:
    info = AttemptFolder(tmp_path).info()
    assert (info.name, info.task_id, info.attempt) == (tmp_path.name, "", 0)
    assert info.started_at is None


def test_the_log_is_read_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "runner.log").write_bytes(b"x" * 300_000 + b"\none\n\xff\ntwo\n")
    assert AttemptFolder(tmp_path).logs(2) == "\ufffd\ntwo"


def test_a_start_time_tells_two_processes_apart() -> None:
    assert start_time(os.getpid()) == start_time(os.getpid())
    assert start_time(os.getpid()) != start_time(1)
    with pytest.raises(FileNotFoundError):
        start_time(2**22 + 1)


def test_a_json_file_is_replaced_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"a": 1})
    write_json(tmp_path / "a", {"a": 2})
    assert json.loads((tmp_path / "a").read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_whatever_an_agent_made_is_removed_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_text("x")
    (tree / "link").symlink_to(outside)
    os.mkfifo(tree / "fifo")
    (tree / "a/b").chmod(0)
    (tree / "a").chmod(0)
    remove_tree(tree)
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert (outside / "kept").exists()
