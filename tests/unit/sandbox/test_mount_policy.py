"""What no sandbox may be shown, judged before any engine mounts it (U4)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import mount_policy
from rover_mcp.sandbox.mount_policy import (
    HostPath,
    MountPoint,
    MountSource,
    PrivateFolder,
    find_exposure,
    hidden_folders,
    parse_mounts,
    place_of,
    private_folders,
    refuse_exposure,
    shown_by,
)

DISK = MountPoint("8:1", Path("/"), Path("/"))
HOMES = MountPoint("8:2", Path("/"), Path("/home"))
ALIAS = MountPoint("8:2", Path("/u"), Path("/usr/local/share/u"))
MOUNTS = [DISK, HOMES, ALIAS, MountPoint("0:9", Path("/"), Path("/usr/share/memory"))]


def _private(path: str, *, closed: bool = False) -> PrivateFolder:
    return PrivateFolder("it", Path(path), place_of(Path(path), MOUNTS), closed, "move it")


def _exposed(source: str, *private: PrivateFolder, ours: bool = False) -> bool:
    path = Path(source)
    found = find_exposure([MountSource(path, shown_by(path, MOUNTS), ours)], private)
    return found is not None


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("/home/u", "/home/u"),
        ("/home/u/.local", "/home/u/.local/share/rover"),
        ("/", "/home/u"),
        ("/usr", "/usr/local/rover"),
        # Through a bind mount beneath what is mounted, or of it: under another name.
        ("/usr", "/home/u/.ssh"),
        ("/usr/local", "/home/u"),
        ("/usr/local/share/u/.local", "/home/u/.local/share/rover"),
        ("/home/u/.local", "/usr/local/share/u/.local/share/rover"),
    ],
)
def test_a_mount_that_shows_a_private_folder_is_found(source: str, private: str) -> None:
    assert _exposed(source, _private(private))
    assert _exposed(source, _private(private), ours=True), "whoever names it"


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("/home/u/.pyenv/versions/3.11/lib", "/home/u"),
        ("/home/u/.local/lib", "/home/u/.local/share/rover"),
        ("/home/u2", "/home/u"),
        ("/usr/bin", "/home/u"),
        ("/usr", "/"),
        ("/usr/share/memory", "/usr/share"),
    ],
)
def test_a_mount_that_shows_none_is_not(source: str, private: str) -> None:
    assert not _exposed(source, _private(private))


def test_of_a_closed_folder_only_what_the_contract_names_is_mounted() -> None:
    data = _private("/home/u/.local/share/rover", closed=True)
    task = "/home/u/.local/share/rover/tasks/1/work"
    assert _exposed(task, data)
    assert not _exposed(task, data, ours=True)
    assert _exposed("/usr/local/share/u/.local/share/rover/rover.db", data)


def test_the_lines_of_mountinfo_are_read() -> None:
    text = "22 27 0:21 /a\\040b /mnt/x\\134y rw,relatime shared:1 - ext4 /dev/sda rw\n\n"
    assert parse_mounts(text) == [MountPoint("0:21", Path("/a b"), Path("/mnt/x\\y"))]


def test_the_later_of_two_mounts_at_one_place_counts() -> None:
    over = MountPoint("0:7", Path("/sub"), Path("/home"))
    assert place_of(Path("/home/u"), [DISK, HOMES, over]) == HostPath("0:7", Path("/sub/u"))


def test_private_folders_beneath_the_system_are_hidden_there() -> None:
    inside, outside = _private("/usr/local/rover"), _private("/home/u")
    assert hidden_folders(["/usr", "/lib"], [inside, outside]) == [Path("/usr/local/rover")]


def test_the_data_folder_home_and_the_runtime_folder_are_private(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    found = private_folders(link / "data", {"HOME": "/h", "XDG_RUNTIME_DIR": "/r"})
    named = {folder.name: folder for folder in found}
    assert named["the data folder"].path == tmp_path / "data"
    assert named["the data folder"].closed
    assert named["the runtime folder"].path == Path("/r")
    assert Path("/h") in {folder.path for folder in found}
    # A path too long for a socket's address has its socket elsewhere.
    far = private_folders(tmp_path / ("x" * 100), {"HOME": "/h"})
    assert Path(f"/tmp/rover-{os.getuid()}") in {folder.path for folder in far}


def test_links_that_lead_to_a_private_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    for folder in (home, data / "tasks/1/work", data / "tasks/2/work"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    work, other = data / "tasks/1/work", data / "tasks/2/work"
    refuse_exposure(data, [work], [work])
    (tmp_path / "program").symlink_to(tmp_path)
    with pytest.raises(EnvironmentFault, match="a sandbox would see") as caught:
        refuse_exposure(data, [tmp_path / "program"])
    assert caught.value.code == "mount_refused"
    assert caught.value.hint
    # One task's folder that was made a link to another's.
    work.rmdir()
    work.symlink_to(other)
    with pytest.raises(EnvironmentFault, match="lies in"):
        refuse_exposure(data, [work], [work])


@pytest.mark.parametrize("name", ["/", "/usr", "relative", ""])
def test_an_odd_home_neither_opens_nor_breaks_anything(name: str) -> None:
    """As that of a root in a container, or of a service."""
    found = private_folders(Path("/srv/rover"), {"HOME": name})
    usr = MountSource(
        Path("/usr"), [mount_policy.place_of(Path("/usr"), mount_policy._read_mounts())]
    )
    exposure = find_exposure([usr], found)
    assert (exposure is not None) == (name == "/usr")


def test_a_data_folder_that_a_link_leads_to_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    work = tmp_path / "real/tasks/1/work"
    work.mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "real")
    named = tmp_path / "data/tasks/1/work"
    refuse_exposure(tmp_path / "data", [named], [named])
    with pytest.raises(EnvironmentFault, match="lies in"):
        refuse_exposure(tmp_path / "data", [work.parent])


def test_where_mounts_cannot_be_seen_nothing_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mount_policy, "_MOUNTS", tmp_path / "gone")
    with pytest.raises(EnvironmentFault, match="the mounts of this machine"):
        refuse_exposure(tmp_path, [])
