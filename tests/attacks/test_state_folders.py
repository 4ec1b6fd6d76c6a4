"""Folders for Rover's state that somebody else prepared are refused, with the reason.

The data folder, the folder of the daemon's socket and a task's folders, made before by another
user, as a link, or open to others; for root and for an ordinary user.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rover_mcp.control.sandbox_spec import make_folders
from rover_mcp.daemon import daemon_lock
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.paths import TaskFolders
from tests.support.frames import StartingClient
from tests.support.repos import make_repository

pytestmark = pytest.mark.known_escape(7)

NOBODY, OTHER = 65534, 4242
PREPARED = {
    "another-users": "belongs to another user",
    "group-writable": "can be written by others",
    "world-writable": "can be written by others",
    "another-users-link": "is a symbolic link of another user",
    "a-file": "is not a folder",
}
Attempt = Callable[[Callable[[], object]], str]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach and write into, as /tmp is."""
    folder = Path(tempfile.mkdtemp(prefix="rover-state-", dir="/var/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["root", "user"])
def uid(request: pytest.FixtureRequest) -> int:
    return 0 if request.param == "root" else NOBODY


def attempt(uid: int, work: Callable[[], object]) -> str:
    """Do it as that user, in a process of its own: what was refused, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "it ended"
        try:
            os.setresuid(uid, uid, uid)
            work()
            said = ""
        except EnvironmentFault as error:
            said = f"{error.message}; {error.hint}"
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def prepare(path: Path, how: str, uid: int) -> None:
    if how == "a-file":
        path.write_text("")
        os.chown(path, uid, uid)
        return
    target = path.with_name("target") if how == "another-users-link" else path
    target.mkdir()
    os.chown(target, OTHER if how == "another-users" else uid, uid)
    target.chmod({"group-writable": 0o770, "world-writable": 0o707}.get(how, 0o700))
    if target != path:
        path.symlink_to(target)
        os.lchown(path, OTHER, OTHER)


@pytest.mark.parametrize("how", PREPARED)
def test_a_data_folder_that_another_prepared_is_refused(place: Path, uid: int, how: str) -> None:
    """Succeeded at 700cc57: root took over a folder of another user's, and what was in it."""
    prepare(place / "data", how, uid)
    said = attempt(uid, lambda: daemon_lock.hold_lock(place / "data"))
    assert PREPARED[how] in said or "cannot be used" in said, said
    assert "; " in said, "it says what to do"
    left = place / ("target" if how == "another-users-link" else "data")
    assert left.is_file() or list(left.iterdir()) == []


def test_a_folder_and_a_link_of_ones_own_are_used(place: Path, uid: int) -> None:
    prepare(place / "real", "own", uid)
    (place / "data").symlink_to(place / "real")
    os.lchown(place / "data", uid, uid)
    assert attempt(uid, lambda: daemon_lock.hold_lock(place / "data")) == ""
    assert (place / "real/daemon.lock").exists()


@pytest.mark.parametrize("how", [*PREPARED, "own-link"])
def test_a_socket_folder_that_another_prepared_is_refused(
    place: Path, uid: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Succeeded at 700cc57: a link and a folder that all may write were used."""
    folder = place / "rover-1"
    monkeypatch.setattr(daemon_lock, "socket_path", lambda _: folder / "s.sock")
    prepare(folder, "another-users-link" if how == "own-link" else how, uid)
    if how == "own-link":
        os.lchown(folder, uid, uid)
    said = attempt(uid, lambda: daemon_lock.make_socket_folder(place / "data"))
    assert PREPARED.get(how, "is a symbolic link") in said or "cannot be made" in said, said


@pytest.mark.parametrize("name", ["run", "spec", "gateway"])
def test_a_task_folder_that_another_prepared_is_refused(place: Path, name: str) -> None:
    folders = TaskFolders(place, "1" * 32, 1)
    named = {
        "run": folders.run, "spec": folders.spec(1), "gateway": folders.gateway_socket.parent,
    }  # fmt: skip
    make_folders(folders, 1)
    folder = named[name]
    folder.chmod(0o777)
    make_folders(folders, 1)
    assert folder.stat().st_mode & 0o022 == 0, "it is closed again"
    os.chown(folder, OTHER, OTHER)
    with pytest.raises(EnvironmentFault, match="not a folder that belongs to"):
        make_folders(folders, 1)
    folder.rmdir() if name != "spec" else shutil.rmtree(folder)
    folder.symlink_to(place)
    with pytest.raises(EnvironmentFault, match="not a folder that belongs to"):
        make_folders(folders, 1)


def test_a_client_is_told_and_nothing_is_written(place: Path) -> None:
    """Succeeded at 700cc57: the launcher opened its log and its lock in such a folder first."""
    data = place / "data"
    prepare(data, "another-users", 0)
    with StartingClient(data, make_repository(place / "repo")) as client:
        said = client.request("initialize", {"protocolVersion": "2025-11-25"})["error"]["message"]
    assert f"belongs to another user (uid {OTHER}" in said
    assert "ROVER_HOME" in said
    assert list(data.iterdir()) == []
