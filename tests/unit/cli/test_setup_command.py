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

from rover_mcp.assistants import config_file
from rover_mcp.assistants.config_change import ConfigChangeRefused
from rover_mcp.assistants.known import CLIENTS, Machine, launcher_command
from rover_mcp.assistants.session_hooks import command_of
from rover_mcp.cli import setup_command
from rover_mcp.cli.command_line import main
from rover_mcp.config.load_settings import load_settings

Json = dict[str, Any]
LAUNCHER = str(Path(sys.prefix) / "bin" / "rover-mcp")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NO_HOOKS = "# mine\nbase_image: debian  # this one\n"
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
    assert said.endswith("Nothing was written. To make these changes: rover setup --write\n")
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
    assert "To make it take effect: restart it." in said
    path = home / ".codex" / "config.toml"
    assert f'args = ["--home", "{home}/data"]' in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(files_in(home)) == {".codex/config.toml"}


@pytest.fixture
def desktop(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that shows notifications; the data folder's config.yaml."""
    (home / "bin").mkdir(exist_ok=True)
    (home / "bin" / "notify-send").write_text("#!/bin/sh\n")
    (home / "bin" / "notify-send").chmod(0o755)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    monkeypatch.setenv("ROVER_HOME", str(home / "data"))
    return home / "data" / "config.yaml"


@pytest.mark.parametrize("old", [None, "", NO_HOOKS, NO_HOOKS.rstrip("\n")])
def test_notifications_are_on_by_default_where_something_shows_them(
    desktop: Path, old: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """14-12."""
    if old is not None:
        desktop.parent.mkdir()
        desktop.write_text(old)
    assert main(["setup"]) == 0
    assert "Notifications   would be shown on the desktop" in capsys.readouterr().out
    assert (desktop.read_text() if old is not None else None) == old
    assert main(["setup", "--write"]) == 0
    assert "Notifications   added on the desktop" in capsys.readouterr().out
    assert desktop.read_text().startswith(old or "")
    (hook,) = load_settings(desktop.parent).hooks
    assert hook.kind == "desktop"
    written = desktop.read_text()
    assert main(["setup", "--write"]) == 0
    assert desktop.read_text() == written
    assert stat.S_IMODE(desktop.stat().st_mode) & 0o077 == 0 or old is not None


@pytest.mark.parametrize("old", ["hooks: []\n", 'hooks: [{kind: command, run: ["true"]}]\n'])
def test_what_the_user_says_of_hooks_stays(
    desktop: Path, old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desktop.parent.mkdir()
    desktop.write_text(old)
    assert main(["setup", "--write"]) == 0
    assert "Notifications" not in capsys.readouterr().out
    assert desktop.read_text() == old


@pytest.mark.parametrize("old", ["- a list\n", "a: [\n", "{a: 1}\n"])
def test_a_config_that_cannot_be_added_to_is_left_alone(
    desktop: Path, old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desktop.parent.mkdir()
    desktop.write_text(old)
    assert main(["setup", "--write"]) == 1
    said = capsys.readouterr().out
    assert "Notifications   not changed" in said
    assert "    hooks:\n      - kind: desktop" in said
    assert desktop.read_text() == old


def test_notifications_can_be_declined_and_are_not_offered_in_vain(
    desktop: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "--write", "--no-notifications"]) == 0
    (home / "bin" / "notify-send").unlink()
    assert main(["setup", "--write"]) == 0
    assert "Notifications" not in capsys.readouterr().out
    assert not desktop.exists()


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
    assert f"not changed: {path} has comments" in said
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
        "cursor": "is not a regular file",
        "gemini": "is a symbolic link to a missing file (/nowhere/at/all)",
        "claude": "is not UTF-8",
        "codex": "is not a regular file",
    }


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("theirs", "utf-8")
    with pytest.raises(ConfigChangeRefused, match="changed meanwhile"):
        config_file.write(path, "what we read", "ours", NOW)
    assert files_in(tmp_path) == {"mcp.json": "theirs"}


def test_two_backups_of_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("1", "utf-8")
    config_file.write(path, "1", "2", NOW)
    config_file.write(path, "2", "3", NOW)
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


@pytest.fixture
def logged_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody who is logged in with claude and codex; the data folder's config.yaml."""
    (home / ".claude").mkdir()
    kept = {"claudeAiOauth": {"accessToken": "a-secret"}}
    (home / ".claude" / ".credentials.json").write_text(json.dumps(kept))
    (home / ".codex").mkdir()
    (home / ".codex" / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": "a-secret"}))
    monkeypatch.setenv("ROVER_HOME", str(home / "data"))
    return home / "data" / "config.yaml"


def test_a_log_in_that_is_here_is_offered_and_used_only_after_a_yes(
    logged_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """B.7. Codex has a key only: there is no login to offer."""
    assert main(["setup"]) == 0
    said = capsys.readouterr().out
    assert "your claude is logged in; rover setup --write asks" in said
    assert "codex is logged in" not in said
    asked: list[str] = []

    def answer(yes: bool) -> None:
        monkeypatch.setattr(setup_command, "has_person", lambda: True)
        monkeypatch.setattr(
            setup_command, "ask_person", lambda question, _: asked.append(question) or yes
        )

    answer(False)
    assert main(["setup", "--write"]) == 0
    assert not logged_in.exists()
    assert "anthropic: {login: claude}" in capsys.readouterr().out
    answer(True)
    assert main(["setup", "--write"]) == 0
    assert load_settings(logged_in.parent).credentials["anthropic"].login == "claude"
    assert len(asked) == 2
    assert main(["setup", "--write"]) == 0
    assert len(asked) == 2, "what config.yaml says is not asked again"
    assert "a-secret" not in capsys.readouterr().out + "".join(asked)


def test_nobody_is_asked_where_there_is_no_terminal(
    logged_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "--write"]) == 0
    assert not logged_in.exists()
    assert "rover setup --write asks" in capsys.readouterr().out


def test_other_credentials_in_config_yaml_are_left_alone(
    logged_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_command, "has_person", lambda: True)
    logged_in.parent.mkdir()
    logged_in.write_text("credentials: {openai: {env: MY_KEY}}\n")
    assert main(["setup", "--write"]) == 0
    assert logged_in.read_text() == "credentials: {openai: {env: MY_KEY}}\n"
    assert "has credentials of other providers" in capsys.readouterr().out


ROVER = str(Path(sys.prefix) / "bin" / "rover")
NESTED: Json = {"hooks": [{"type": "command", "command": f"{ROVER} session-start"}]}
HOOKED = {
    "codex": (".codex/hooks.json", "SessionStart", NESTED),
    "gemini": (".gemini/settings.json", "SessionStart", NESTED),
    "qwen": (".qwen/settings.json", "SessionStart", NESTED),
    "copilot": (
        ".copilot/hooks/rover.json", "sessionStart",
        {"type": "command", "bash": f"{ROVER} session-start"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("client", HOOKED)
def test_a_session_hook_is_offered_shown_written_once_and_taken_out(
    home: Path, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """14-12: with the user's own hooks left as they are."""
    file, event, entry = HOOKED[client]
    own = {"hooks": [{"type": "command", "command": "mine session-start"}]}
    before = {"hooks": {event: [own], "Stop": [own]}, "mine": 1}
    path = home / file
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(before, indent=1))
    assert told(capsys, client)[client]["session_hook"]["action"] == "offered"
    assert main(["setup", client]) == 0
    assert "with --session-hooks" in capsys.readouterr().out

    shown = told(capsys, client, "--session-hooks")[client]["session_hook"]
    assert (shown["action"], json.loads(path.read_text())) == ("add", before)
    assert any("session-start" in line for line in shown["diff"])
    wrote = told(capsys, client, "--session-hooks", "--write")[client]["session_hook"]
    assert Path(wrote["backup"]).exists()
    after = json.loads(path.read_text())
    assert after["hooks"] == {event: [own, entry], "Stop": [own]}
    assert after["mine"] == 1
    again = told(capsys, client, "--session-hooks", "--write")[client]["session_hook"]
    assert again["action"] == "nothing"

    assert told(capsys, client, "--remove", "--write")[client]["session_hook"]["action"] == "remove"
    left = json.loads(path.read_text())
    assert (left["hooks"], left["mine"]) == (before["hooks"], 1)


@pytest.mark.parametrize(
    "text", ["{ // mine\n}", "[]", '{"hooks": []}', '{"hooks": {"SessionStart": 1}}']
)
def test_a_file_of_hooks_that_is_not_as_it_should_be_is_left_alone(
    home: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".codex" / "hooks.json"
    path.parent.mkdir()
    path.write_text(text)
    refused = told(capsys, "codex", "--session-hooks", "--write", status=1)["codex"]
    assert refused["session_hook"]["action"] == "refused"
    assert path.read_text() == text


def test_the_hook_names_another_data_folder_and_uvx() -> None:
    assert command_of(["/v/bin/rover-mcp", "--home", "/a b"]) == (
        "/v/bin/rover session-start --home '/a b'"
    )
    assert command_of(["uvx", "rover-mcp"]) == "uvx --from rover-mcp rover session-start"
