"""Where an agent's program comes from (M1, "an agent that is not installed")."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox.programs import (
    CLAUDE_VERSION,
    check_program,
    find_program,
    is_native,
    obtain_program,
)


def _native(path: Path, machine: int = {"x86_64": 62, "aarch64": 183}[platform.machine()]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))
    path.chmod(0o755)
    return path


def _script(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/usr/bin/env node\n")
    path.chmod(0o755)
    return path


def _fake_npm(folder: Path, script: str) -> str:
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!{sys.executable} -IS\n{script}")
    npm.chmod(0o755)
    return str(folder)


def test_a_native_program_of_this_machine_is_told_from_others(tmp_path: Path) -> None:
    assert is_native(_native(tmp_path / "a"))
    assert not is_native(_native(tmp_path / "b", machine=8))
    assert not is_native(_script(tmp_path / "c"))
    assert not is_native(tmp_path)
    assert not is_native(tmp_path / "gone")
    plain = _native(tmp_path / "d")
    plain.chmod(0o644)
    assert not is_native(plain)


def test_the_users_own_program_comes_first(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(_native(tmp_path / "claude"))
    assert find_program("claude", link, tmp_path / "cache") == tmp_path / "claude"


def test_the_program_beside_npms_launcher_is_found(tmp_path: Path) -> None:
    scope = tmp_path / "node_modules/@anthropic-ai"
    launcher = _script(scope / "claude-code/cli-wrapper.cjs")
    arch = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    native = _native(scope / f"claude-code-linux-{arch}/claude")
    assert find_program("claude", launcher, tmp_path / "cache") == native


def test_the_scripted_agent_needs_none(tmp_path: Path) -> None:
    check_program("scripted", None, tmp_path)
    assert obtain_program("scripted", None, tmp_path, print) is None


def test_without_a_program_and_npm_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (
        lambda: check_program("claude", None, tmp_path),
        lambda: obtain_program("claude", None, tmp_path, print),
    ):
        with pytest.raises(EnvironmentFault) as caught:
            call()
        assert caught.value.code == "agent_missing"
        assert f"@{CLAUDE_VERSION}" in (caught.value.hint or "")


def test_an_unknown_agent_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="'nobody'"):
        check_program("nobody", None, tmp_path)


def test_npm_fetches_the_pinned_version_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elf = {"x86_64": 62, "aarch64": 183}[platform.machine()]
    script = f"""
import pathlib, sys
assert sys.argv[-1].endswith("@{CLAUDE_VERSION}"), sys.argv
folder = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1], "node_modules/@anthropic-ai/x")
folder.mkdir(parents=True)
(folder / "claude").write_bytes(b"\\x7fELF" + bytes(14) + ({elf}).to_bytes(2, "little"))
"""
    monkeypatch.setenv("PATH", _fake_npm(tmp_path / "bin", script))
    said: list[str] = []
    got = obtain_program("claude", None, tmp_path / "cache", said.append)
    assert got is not None
    assert is_native(got)
    assert len(said) == 1
    assert obtain_program("claude", None, tmp_path / "cache", said.append) == got
    assert len(said) == 1
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [got.name]


def test_an_npm_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; sys.exit('npm error E404 not found')"
    monkeypatch.setenv("PATH", _fake_npm(tmp_path / "bin", script))
    with pytest.raises(EnvironmentFault, match="E404") as caught:
        obtain_program("claude", None, tmp_path / "cache", print)
    assert caught.value.code == "agent_missing"
