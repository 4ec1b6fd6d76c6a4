"""No engine mounts what would show the user, another task or the daemon, on any way to start (U4)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import agent_programs
from rover_mcp.sandbox.image import ImageBuilder
from rover_mcp.sandbox.pinned_agents import PINNED
from rover_mcp.sandbox.protocol import SandboxSpec
from tests.contracts.engine_rigs import BubblewrapRig, DockerRig, Rig, SandboxShell, new_task

LED_ASTRAY = ("spec", "base_objects", "gateway")


def _folder(spec: SandboxSpec, name: str) -> Path:
    folders = spec.folders
    return folders.gateway_socket.parent if name == "gateway" else getattr(folders, name)


def _refused(start: object, *arguments: object) -> str:
    with pytest.raises(EnvironmentFault) as caught:
        start(*arguments)  # type: ignore[operator]
    assert caught.value.code == "mount_refused", caught.value
    assert caught.value.hint
    return caught.value.message


def test_a_folder_that_leads_to_another_place_is_not_mounted(
    real_rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Succeeded at 700cc57: what a link in a folder's place led to was mounted."""
    engine, other = real_rig.engine(), real_rig.spec(new_task())
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    engine.prepare(other, lambda _: None)
    for name in LED_ASTRAY:
        spec = real_rig.spec(new_task())
        folder = _folder(spec, name)
        kept = folder.with_name("kept")
        folder.rename(kept)
        for target, why in ((home, "the home folder"), (other.folders.work, "the data folder")):
            folder.symlink_to(target)
            if name == "spec":
                # The specification is written first, wherever it leads.
                (target / "spec.json").unlink(missing_ok=True)
            assert why in _refused(engine.ensure, spec)
            folder.unlink()
        kept.rename(folder)
        engine.remove(spec.name)


def test_nor_is_one_made_ready_with_it(
    container_rig: DockerRig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home, spec = tmp_path_factory.mktemp("home"), container_rig.spec(new_task())
    monkeypatch.setenv("HOME", str(home))
    shutil.rmtree(spec.folders.base_objects)
    spec.folders.base_objects.symlink_to(home)
    assert "the home folder" in _refused(container_rig.engine().ready, spec, 5.0)
    assert spec.name not in container_rig.docker("ps", "-a", "--format", "{{.Names}}")


def test_a_container_has_its_own_folders_and_no_others(container_rig: DockerRig) -> None:
    inside = SandboxShell(container_rig)
    facts = json.loads(container_rig.docker("inspect", inside.spec.name))[0]
    found = {Path(m["Source"]) for m in facts["Mounts"] if m["Type"] == "bind"}
    folders = inside.spec.folders
    assert found == {
        folders.spec, folders.run, folders.base_objects, folders.gateway_socket.parent,
    }  # fmt: skip


def test_nothing_of_the_user_is_copied_into_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent's program, whose folder is a link to the home."""
    home, data = tmp_path / "home", tmp_path / "home/.local/share/rover"
    data.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "agent").symlink_to(home)
    builder = ImageBuilder(data)
    assert "is or contains" in _refused(builder._judge, [tmp_path / "agent"])
    assert "the data folder" in _refused(builder._judge, [data / "tasks"])
    builder._judge([data / "cache/python/1"])


def test_a_vendors_program_unpacks_itself_where_nothing_of_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = replace(PINNED["copilot"], extract=(("X", "y"),))
    monkeypatch.setenv("ROVER_HOME", str(tmp_path / "new/data"))
    (tmp_path / "new").mkdir()
    assert "the data folder" in _refused(
        agent_programs._extract, tmp_path / "new", "copilot", pinned
    )


def test_a_toolchain_in_the_home_is_seen_read_only_and_the_home_never(
    bubblewrap_rig: BubblewrapRig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """U4: only the folder that the user's setting names, by its own path and on PATH."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    tool = home / "node/bin/mytool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho tool 1.0\n")
    tool.chmod(0o755)
    (home / "secret").write_text("key")
    engine = bubblewrap_rig.engine(toolchains=[home / "node"])
    spec = bubblewrap_rig.spec(new_task())
    engine.ensure(spec)
    bubblewrap_rig.started(spec)
    assert engine.exec(spec.name, ["mytool"]).stdout == b"tool 1.0\n"
    said = engine.exec(spec.name, ["sh", "-c", f"ls {home}; echo x >> {tool}"])
    assert said.stdout == b"node\n"
    assert b"Read-only" in said.stderr
    wide = bubblewrap_rig.engine(toolchains=[home])
    assert "the home folder" in _refused(wide.ensure, bubblewrap_rig.spec(new_task()))
