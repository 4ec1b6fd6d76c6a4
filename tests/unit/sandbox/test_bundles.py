"""Where an agent's program comes from (M1, "an agent that is not installed")."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import agent_bundle
from rover_mcp.sandbox.agent_bundle import agent_cache
from rover_mcp.sandbox.agent_programs import (
    can_be_had,
    check_agent,
    is_native,
    obtain,
    obtain_bundles,
    own_program,
)
from rover_mcp.sandbox.pinned_agents import CLAUDE_VERSION, PINNED, npm_arch

MACHINE = {"x86_64": 62, "aarch64": 183}[platform.machine()]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROVER_AGENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _native(path: Path, machine: int = MACHINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))
    path.chmod(0o755)
    return path


def _script(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/usr/bin/env node\n")
    path.chmod(0o755)
    return path


FAKE_NPM = """
import json, pathlib, sys
modules = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1], "node_modules")
assert "--ignore-scripts" in sys.argv
for package, files in {files!r}.items():
    (modules / package).mkdir(parents=True)
    (modules / package / "package.json").write_text(json.dumps({{"version": {version!r}}}))
    for name, text in files.items():
        (modules / package / name).parent.mkdir(exist_ok=True)
        (modules / package / name).write_text(text)
"""


def _fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!{sys.executable} -IS\n{script}")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def _npm_gives(
    folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, **files: dict[str, str]
) -> None:
    named = {k.replace("__", "/"): v for k, v in files.items()}
    _fake_npm(folder, monkeypatch, FAKE_NPM.format(files=named, version=version))


def test_a_native_program_of_this_machine_is_told_from_others(tmp_path: Path) -> None:
    assert is_native(_native(tmp_path / "a"))
    assert not is_native(_native(tmp_path / "b", machine=8))
    assert not is_native(_script(tmp_path / "c"))
    assert not is_native(tmp_path)
    assert not is_native(tmp_path / "gone")
    plain = _native(tmp_path / "d")
    plain.chmod(0o644)
    assert not is_native(plain)


def test_the_users_own_claude_comes_first_as_a_bundle_of_one_program(
    tmp_path: Path, cache: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(_native(tmp_path / "claude"))
    bundle = obtain("claude", link, print)
    assert bundle.folder.parent == cache
    assert (bundle.folder / "bin/claude").samefile(tmp_path / "claude")
    assert obtain("claude", link, print) == bundle
    (tmp_path / "claude").unlink()
    _native(tmp_path / "claude")
    os.utime(tmp_path / "claude", ns=(1, 1))
    assert obtain("claude", link, print).identity != bundle.identity


def test_the_program_beside_npms_launcher_is_found(tmp_path: Path) -> None:
    scope = tmp_path / "node_modules/@anthropic-ai"
    launcher = _script(scope / "claude-code/cli-wrapper.cjs")
    native = _native(scope / f"claude-code-linux-{npm_arch()}/claude")
    assert own_program("claude", launcher) == native
    assert own_program("codex", launcher) is None


def test_the_scripted_agent_needs_none() -> None:
    check_agent("scripted", None)
    assert obtain_bundles(["scripted", "nobody"], None, print) == ()


@pytest.mark.parametrize("agent", PINNED)
def test_without_a_program_and_npm_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not can_be_had(agent, None)
    for call in (lambda: check_agent(agent, None), lambda: obtain(agent, None, print)):
        with pytest.raises(EnvironmentFault, match=f"the agent {agent} ") as caught:
            call()
        assert caught.value.code == "agent_missing"
        assert "npm" in (caught.value.hint or "")


def test_an_unknown_agent_is_named() -> None:
    with pytest.raises(EnvironmentFault, match="'nobody'") as caught:
        check_agent("nobody", None)
    assert "gemini" in (caught.value.hint or "")


def test_npm_fetches_the_pinned_version_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@anthropic-ai__claude-code-linux-{npm_arch()}"
    program = "#!/bin/sh\necho started $1"
    _npm_gives(tmp_path / "bin", monkeypatch, CLAUDE_VERSION, **{name: {"claude": program}})
    cache.mkdir()
    (cache / ".new-claude-killed").mkdir()
    said: list[str] = []
    [got] = obtain_bundles(["claude", "scripted"], None, said.append)
    told = subprocess.check_output([got.folder / "bin/claude", "x"], text=True)
    assert told == "started x\n"
    assert "bytes to download, about 360 MB unpacked, once" in said[0]
    assert obtain("claude", None, said.append) == got
    assert len(said) == 2
    assert {p.name for p in cache.iterdir()} == {got.identity, ".claude.lock"}


def test_a_program_in_javascript_brings_a_node_that_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = "#!/bin/sh\ncat $1"
    _npm_gives(
        tmp_path / "bin", monkeypatch, "0.61.0",
        **{
            "@google__gemini-cli": {"bundle/gemini.js": "I am gemini"},
            f"node-linux-{npm_arch()}": {"bin/node": node, "include/big.h": ""},
        },
    )  # fmt: skip
    folder = obtain("gemini", None, print).folder
    (tmp_path / "elsewhere").symlink_to(folder / "bin/gemini")
    assert subprocess.check_output([tmp_path / "elsewhere"], text=True) == "I am gemini"
    assert [p.name for p in (folder / "bin").iterdir()] == ["gemini"]
    assert not list(folder.rglob("big.h"))


def test_another_version_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@anthropic-ai__claude-code-linux-{npm_arch()}"
    _npm_gives(tmp_path / "bin", monkeypatch, "9.9.9", **{name: {"claude": ""}})
    with pytest.raises(EnvironmentFault, match=r"9\.9\.9"):
        obtain("claude", None, print)


def test_an_npm_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_npm(tmp_path / "bin", monkeypatch, "import sys; sys.exit('npm error E404 not found')")
    with pytest.raises(EnvironmentFault, match="E404") as caught:
        obtain("claude", None, print)
    assert caught.value.code == "agent_missing"


def test_every_package_has_an_exact_version() -> None:
    for agent, pinned in PINNED.items():
        for package in pinned.packages:
            version = package.rpartition("@")[2]
            assert re.fullmatch(r"\d+\.\d+\.\d+(-linux-\{arch\})?", version), agent
        assert any(pinned.version in package for package in pinned.packages)
        assert pinned.version in pinned.install


def test_the_cache_is_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROVER_AGENT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert agent_cache() == Path("/c/rover/agents")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert agent_cache() == Path("/h/.cache/rover/agents")
    assert json.dumps(agent_bundle.search_path(["a"])) == '["/opt/rover/agents/a/bin"]'
