"""The project's setup as it is found in a commit, and what lets it run again."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.config.values import DevcontainerUse
from rover_mcp.control.repository_setup import find_setup, with_setup
from rover_mcp.domain.source_tree import SourceFile
from rover_mcp.sandbox.protocol import SandboxSpec
from tests.contracts.engine_rigs import make_spec, new_task


@dataclass(frozen=True)
class Tree:
    content: tuple[tuple[str, str], ...]

    def files(self) -> list[SourceFile]:
        return [
            SourceFile(p, "100644", hashlib.sha1(t.encode()).hexdigest(), len(t))
            for p, t in self.content
        ]

    def read(self, path: str, limit: int) -> bytes | None:
        text = dict(self.content).get(path)
        return None if text is None or len(text) > limit else text.encode()

    def pack(self, folder: str, archive: tarfile.TarFile) -> None: ...


def tree(files: Mapping[str, str]) -> Tree:
    return Tree(tuple(files.items()))


def setup_of(files: Mapping[str, str], spec: SandboxSpec, engine: str = "docker"):
    return with_setup(spec, find_setup(tree(files)), engine, timeout=60)


FILES = {
    ".devcontainer/devcontainer.json": json.dumps(
        {"postCreateCommand": "npm ci", "containerEnv": {"MODE": "dev"}, "image": "node:22"}
    ),
    ".rover/setup.sh": "make deps\n",
    "package-lock.json": "1",
    "web/requirements-dev.txt": "2",
    "src/main.py": "3",
}


def key(files: Mapping[str, str], spec: SandboxSpec) -> str:
    made = setup_of(files, spec)[0].run.setup
    assert made is not None
    return made.key


def test_commands_variables_and_image_reach_the_sandbox(tmp_path: Path) -> None:
    spec, warnings = setup_of(FILES, make_spec(tmp_path, new_task()))
    assert spec.run.setup is not None
    assert spec.run.setup.commands == ("npm ci", "bash .rover/setup.sh")
    assert spec.run.variables == {"MODE": "dev"}
    assert spec.project.image == "node:22"
    assert warnings == []


def test_a_repository_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    before = make_spec(tmp_path, new_task())
    spec, warnings = setup_of({"a.py": "1", "package.json": "{}"}, before)
    assert spec.run == before.run
    assert warnings == []


def test_it_runs_again_where_what_it_depends_on_changed_and_only_there(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, new_task())
    before = key(FILES, spec)
    assert key({**FILES, "src/main.py": "other"}, spec) == before
    for path in (".rover/setup.sh", "package-lock.json", "web/requirements-dev.txt"):
        assert key({**FILES, path: "other"}, spec) != before, path
    changed = FILES[".devcontainer/devcontainer.json"].replace("dev", "prod")
    assert key({**FILES, ".devcontainer/devcontainer.json": changed}, spec) != before


def test_the_users_own_image_goes_before_the_repositorys(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, new_task())
    made, _ = with_setup(spec, find_setup(tree(FILES)), "docker", image="mine:1", timeout=60)
    assert made.image == "mine:1"
    assert made.project.image is None
    assert made.run.setup is not None


def test_an_engine_without_images_says_so(tmp_path: Path) -> None:
    _, warnings = setup_of(FILES, make_spec(tmp_path, new_task()), "bubblewrap")
    assert "image is not used" in warnings[0]


def test_what_is_not_supported_is_named(tmp_path: Path) -> None:
    files = {".devcontainer.json": '{"runArgs": ["--privileged"], "mounts": []}'}
    _, warnings = setup_of(files, make_spec(tmp_path, new_task()))
    assert warnings == [".devcontainer.json: not supported, and not applied: mounts, runArgs"]


def test_a_file_that_is_too_large_is_said_to_be_ignored(tmp_path: Path) -> None:
    files = {".devcontainer.json": " " * 300_000}
    _, warnings = setup_of(files, make_spec(tmp_path, new_task()))
    assert "is ignored" in warnings[0]


def test_a_configured_setup_script_runs_again_when_it_changes(
    tmp_path: Path,
) -> None:
    spec = make_spec(tmp_path, new_task())

    def made(text: str) -> tuple[tuple[str, ...], str]:
        found = find_setup(tree({**FILES, "scripts/deps.sh": text}), "scripts/deps.sh")
        setup = with_setup(spec, found, "docker", commands=["make"], timeout=60)[0].run.setup
        assert setup is not None
        return setup.commands, setup.key

    commands, first = made("1")
    assert commands == ("npm ci", "bash .rover/setup.sh", "bash scripts/deps.sh", "make")
    assert made("1")[1] == first != made("2")[1]


@pytest.mark.parametrize(
    ("engine", "image", "more", "tried"),
    [
        ("docker", None, {}, False),
        ("bubblewrap", None, {}, True),
        ("process", None, {}, True),
        ("docker", "mine:1", {}, True),
        ("docker", None, {"features": {"ghcr.io/devcontainers/features/node": {}}}, True),
        ("docker", None, {"image": None, "dockerComposeFile": "compose.yaml"}, True),
    ],
)
def test_a_devcontainers_commands_may_fail_in_another_image(
    tmp_path: Path, engine: str, image: str | None, more: dict[str, object], tried: bool
) -> None:
    """V5."""
    content = {"image": "node:22", "postCreateCommand": "npm ci", **more}
    files = {".devcontainer.json": json.dumps(content), ".rover/setup.sh": "make\n"}
    spec = make_spec(tmp_path, new_task())
    made, warnings = with_setup(spec, find_setup(tree(files)), engine, image=image, timeout=60)
    assert made.run.setup is not None
    commands = (made.run.setup.tried, made.run.setup.commands)
    own = ("bash .rover/setup.sh",)
    assert commands == ((("npm ci",), own) if tried else ((), ("npm ci", *own)))
    assert any("only tried" in w for w in warnings) == (engine in ("bubblewrap", "process"))


@pytest.mark.parametrize("use", ["off", "image"])
def test_a_devcontainer_counts_as_far_as_it_is_said(tmp_path: Path, use: DevcontainerUse) -> None:
    """V5."""
    broken = FILES if use == "image" else {**FILES, ".devcontainer/devcontainer.json": "{ broken"}
    found = find_setup(tree(broken), None, use)
    made, _ = with_setup(make_spec(tmp_path, new_task()), found, "docker", timeout=60)
    assert made.run.setup is not None
    assert (made.run.setup.tried, made.run.setup.commands) == ((), ("bash .rover/setup.sh",))
    assert made.project.image == ("node:22" if use == "image" else None)
    assert made.run.variables == ({"MODE": "dev"} if use == "image" else {})


def test_a_set_up_of_the_configuration_replaces_the_devcontainers_commands(tmp_path: Path) -> None:
    """V5. On 4ed2e71 both ran."""
    found = find_setup(tree(FILES), own_setup=True)
    spec = make_spec(tmp_path, new_task())
    made, _ = with_setup(spec, found, "bubblewrap", commands=["make"], timeout=60)
    assert made.run.setup is not None
    assert (made.run.setup.tried, made.run.setup.commands) == ((), ("bash .rover/setup.sh", "make"))
    assert made.run.variables == {"MODE": "dev"}
