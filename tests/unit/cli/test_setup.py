"""`rover setup`: what it finds, what it shows, what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.main import main
from rover_mcp.clients import files
from rover_mcp.clients.known import CLIENTS, Machine, launcher_command
from rover_mcp.clients.plan import Refused

Json = dict[str, Any]
LAUNCHER = str(Path(sys.prefix) / "bin" / "rover-mcp")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
VARIABLES = (
    *("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"),
    *("QWEN_HOME", "COPILOT_HOME", "XDG_CONFIG_HOME"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and no client's program on the path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text("utf-8") for p in folder.rglob("*") if p.is_file()
    }


def told(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> dict[str, Json]:
    assert main(["setup", "--json", *argv]) == status
    return {r["client"]: r for r in json.loads(capsys.readouterr().out)["clients"]}


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_alone_it_shows_and_writes_nothing(
    home: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".cursor").mkdir()
    assert main(["setup", *more]) == 0
    said = capsys.readouterr().out
    assert "Cursor          would add rover" in said
    assert LAUNCHER in said
    assert "Codex           not found" in said
    assert said.endswith("Nothing was written. To do it: rover setup --write\n")
    assert files_in(home) == {}


def test_write_keeps_the_old_file_and_is_done_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".claude.json"
    path.write_text('{"oauth": "secret"}', "utf-8")
    path.chmod(0o640)
    wrote = told(capsys, "--write")["claude"]
    assert wrote["action"] == "add"
    assert json.loads(path.read_text("utf-8")) == {
        "oauth": "secret",
        "mcpServers": {"rover": {"type": "stdio", "command": LAUNCHER, "args": []}},
    }
    backup = Path(wrote["backup"])
    assert backup.name.startswith(".claude.json.rover-backup-")
    assert backup.read_text("utf-8") == '{"oauth": "secret"}'
    assert {stat.S_IMODE(p.stat().st_mode) for p in (path, backup)} == {0o640}

    assert told(capsys, "--write")["claude"]["action"] == "nothing"
    assert told(capsys, "--write", "--remove")["claude"]["action"] == "remove"
    assert json.loads(path.read_text("utf-8")) == {"oauth": "secret", "mcpServers": {}}


def test_a_client_that_is_named_is_written_though_it_is_not_found(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "--write", "codex", "--home", str(home / "data")]) == 0
    said = capsys.readouterr().out
    assert "added" in said
    assert "For it to count: start it anew." in said
    path = home / ".codex" / "config.toml"
    assert f'args = ["--home", "{home}/data"]' in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(files_in(home)) == {".codex/config.toml"}


def test_a_program_on_the_path_is_enough_and_variables_say_where(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bin").mkdir()
    for name in ("claude", "codex", "gemini", "opencode", "qwen", "copilot", "code", "cursor"):
        (home / "bin" / name).write_text("#!/bin/sh\n")
        (home / "bin" / name).chmod(0o755)
    for name in VARIABLES:
        monkeypatch.setenv(name, str(home / name))
    assert [r.get("file") for r in told(capsys).values()] == [
        f"{home}/CLAUDE_CONFIG_DIR/.claude.json",
        f"{home}/CODEX_HOME/config.toml",
        f"{home}/GEMINI_CLI_HOME/.gemini/settings.json",
        f"{home}/XDG_CONFIG_HOME/opencode/opencode.json",
        f"{home}/QWEN_HOME/settings.json",
        f"{home}/COPILOT_HOME/mcp-config.json",
        f"{home}/XDG_CONFIG_HOME/Code/User/mcp.json",
        f"{home}/.cursor/mcp.json",
        None,
    ]


def test_comments_are_not_lost_the_block_is_shown_instead(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".config" / "Code" / "User" / "mcp.json"
    path.parent.mkdir(parents=True)
    path.write_text('{ // mine\n "servers": {} }', "utf-8")
    (home / ".cursor").mkdir()
    assert main(["setup", "--write"]) == 1
    said = capsys.readouterr().out
    assert f"left alone: {path} has comments" in said
    assert f'"command": "{LAUNCHER}"' in said
    assert path.read_text("utf-8") == '{ // mine\n "servers": {} }'
    assert (home / ".cursor" / "mcp.json").exists()


def test_a_symbolic_link_stays_and_what_it_leads_to_is_written(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = home / "dotfiles" / "gemini.json"
    real.parent.mkdir()
    real.write_text("{}", "utf-8")
    link = home / ".gemini" / "settings.json"
    link.parent.mkdir()
    link.symlink_to(real)
    wrote = told(capsys, "--write")["gemini"]
    assert wrote["leads_to"] == str(real)
    assert link.is_symlink()
    assert LAUNCHER in real.read_text("utf-8")
    assert Path(wrote["backup"]).parent == real.parent


def test_what_is_no_file_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".cursor").mkdir()
    os.mkfifo(home / ".cursor" / "mcp.json")
    (home / ".gemini").mkdir()
    (home / ".gemini" / "settings.json").symlink_to("/nowhere/at/all")
    (home / ".claude.json").write_bytes(b"\xff\xfe")
    (home / ".codex" / "config.toml").mkdir(parents=True)
    results = told(capsys, "--write", status=1)
    assert {k: r["error"] for k, r in results.items() if "error" in r} == {
        "cursor": "is no ordinary file",
        "gemini": "is a symbolic link to nothing (/nowhere/at/all)",
        "claude": "is not UTF-8",
        "codex": "is no ordinary file",
    }


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("theirs", "utf-8")
    with pytest.raises(Refused, match="changed meanwhile"):
        files.write(path, "what we read", "ours", NOW)
    assert files_in(tmp_path) == {"mcp.json": "theirs"}


def test_two_backups_of_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("1", "utf-8")
    files.write(path, "1", "2", NOW)
    files.write(path, "2", "3", NOW)
    assert files_in(tmp_path) == {
        "mcp.json": "3",
        "mcp.json.rover-backup-20261126T120000": "1",
        "mcp.json.rover-backup-20261126T120000-1": "2",
    }


def test_an_unknown_client_is_told_with_those_that_are_known(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "emacs"]) == 1
    assert "claude, codex, gemini" in capsys.readouterr().err


def test_of_two_files_the_one_that_exists_counts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".config" / "opencode" / "opencode.jsonc"
    path.parent.mkdir(parents=True)
    path.write_text('{"theme": "system"}', "utf-8")
    assert told(capsys)["opencode"]["file"] == str(path)


def test_a_mac_keeps_the_settings_of_programs_elsewhere() -> None:
    machine = Machine(Path("/Users/a"), {"XDG_CONFIG_HOME": "/x"}, "darwin")
    places = {name: client.files(machine)[0] for name, client in CLIENTS.items()}
    settings = Path("/Users/a/Library/Application Support")
    assert places["vscode"] == settings / "Code" / "User" / "mcp.json"
    assert places["claude-desktop"] == settings / "Claude" / "claude_desktop_config.json"


def test_an_environment_of_uvx_is_not_named(tmp_path: Path) -> None:
    prefix = tmp_path / "uv" / "archive-v0" / "x1"
    assert launcher_command(prefix, lambda _: "/bin/uvx", None) == ["/bin/uvx", "rover-mcp"]
    assert launcher_command(tmp_path, lambda _: None, "/d") == [
        f"{tmp_path}/bin/rover-mcp",
        "--home",
        "/d",
    ]
