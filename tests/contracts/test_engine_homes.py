"""The HOME that an engine keeps is filled before the agent has it and read once
it has ended, whatever stands in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from rover_mcp.packages.home_archive import unpack
from rover_mcp.packages.home_files import ReadBudget
from rover_mcp.sandbox.protocol import Engine, KeepsHomes, SandboxSpec
from tests.contracts.engine_rigs import Rig, new_task

ENGINES = pytest.mark.parametrize(
    "any_rig",
    [
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("podman", marks=pytest.mark.podman),
        pytest.param("podman-rootless", marks=pytest.mark.podman),
    ],
    indirect=True,
)
NAME = f".npm/{'x' * 120}/content"
_LOOK = "stat -c '%u %a %h' {0} {1}; cat {0}; printf more >> {0}; printf new > .npm/new; id -u"
_PLANT = (
    "mkdir -p .cache/pip; ln -s /etc .npm/etc; ln .npm/new .npm/linked; mkfifo .npm/pipe; "
    "ln -s /etc .cache/pip/http; rm -rf go; ln -s / go"
)


def seed(folder: Path, text: str = "kept") -> Path:
    path = folder / NAME
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


def look(engine: Engine, spec: SandboxSpec) -> str:
    shell = f"cd /home/agent && {_LOOK.format(NAME, Path(NAME).parent)}; {_PLANT}"
    done = engine.exec(spec.name, ["sh", "-c", shell])
    assert done.code == 0, done.stderr
    return done.stdout.decode()


def taken(engine: Engine, name: str, folder: str, into: Path) -> dict[str, str]:
    with cast("KeepsHomes", engine).home_archive(name, folder) as stream:
        if stream is not None:
            unpack(stream, into, ReadBudget(10**6), lambda _: True)
    files = (path for path in into.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path.relative_to(into)): path.read_text() for path in files}


@ENGINES
@pytest.mark.parametrize("ahead", [False, True], ids=["at once", "made ready"])
def test_a_home_begins_with_copies_and_is_read_when_it_has_ended(
    any_rig: Rig, tmp_path: Path, *, ahead: bool
) -> None:
    engine, spec = any_rig.engine(), any_rig.spec(new_task())
    assert isinstance(engine, KeepsHomes)
    engine.prepare(spec, lambda _: None)
    if ahead:
        engine.ready(spec, 60)
    given = seed(tmp_path / "seed")
    engine.ensure(replace(spec, home_seed=given))
    any_rig.started(spec)
    said = look(engine, spec).splitlines()
    assert said == ["10001 644 1", "10001 755 2", "kept10001"], "the agent's own, and nobody's link"
    assert (given / NAME).read_text() == "kept", "what the agent does to its copy stays with it"
    any_rig.finish(spec, 0)
    engine.follow(spec.name)
    files = taken(engine, spec.name, ".npm", tmp_path / "npm")
    assert files.pop(NAME) == "keptmore"
    # One of the two names of the same file, the first that the engine comes to.
    assert len(files) == 1
    assert set(files.values()) == {"new"}
    assert taken(engine, spec.name, ".nothing", tmp_path / "none") == {}
    assert not (tmp_path / "npm" / ".npm" / "etc").exists()
    taken(engine, spec.name, ".cache/pip/http", tmp_path / "link")
    assert not (tmp_path / "link" / "http" / "shadow").is_symlink()
    engine.remove(spec.name)
    assert taken(engine, spec.name, ".npm", tmp_path / "gone") == {}


@pytest.mark.docker
@pytest.mark.parametrize("any_rig", ["docker"], indirect=True)
def test_a_home_that_cannot_be_filled_is_empty(any_rig: Rig, tmp_path: Path) -> None:
    """The task begins all the same, and finds no half of anything."""
    engine, spec = any_rig.engine(), any_rig.spec(new_task())
    engine.prepare(spec, lambda _: None)
    given = seed(tmp_path / "seed")
    # A file that cannot be read ends the archive in the middle.
    (given / "a").write_text("a")
    (given / NAME).unlink()
    (given / NAME).symlink_to("/nonexistent")
    engine.ensure(replace(spec, home_seed=given))
    any_rig.started(spec)
    assert engine.exec(spec.name, ["ls", "-A", "/home/agent"]).stdout == b""
    any_rig.finish(spec, 0)
    assert engine.follow(spec.name).code == 0
