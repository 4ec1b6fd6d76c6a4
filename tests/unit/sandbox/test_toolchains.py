"""Programs that a user keeps in HOME, as sandboxes of bubblewrap see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.toolchains import mounted, search_path
from rover_mcp.tasks.programs import out_of_reach, unseen_programs


def _program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return folder


def test_only_folders_in_home_with_programs_are_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    cargo = _program(home / ".cargo/bin", "cargo")
    (home / "empty").mkdir()
    (home / "notes").mkdir()
    (home / "notes/text").write_text("x")
    path = f"{cargo}:{home}/empty:{home}/notes:{home}/gone:/usr/bin:relative::{cargo}"
    assert out_of_reach(path, home) == [str(cargo)]
    assert str(cargo) in unseen_programs(path, home)[0]
    assert unseen_programs("/usr/bin", home) == unseen_programs(None, home) == []


def test_programs_are_looked_for_in_bin(tmp_path: Path) -> None:
    node = tmp_path / "node"
    _program(node / "bin", "node")
    plain = _program(tmp_path / "plain", "tool")
    assert search_path([node, plain]) == [str(node / "bin"), str(plain)]


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    assert mounted([tmp_path]) == [tmp_path]
    with pytest.raises(EnvironmentFault, match="is not there") as caught:
        mounted([tmp_path / "gone"])
    assert caught.value.code == "toolchain_missing"
