"""`rover config`: a configuration is checked and shown with no daemon anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rover_mcp.cli.client import McpClient
from rover_mcp.cli.command_line import main
from rover_mcp.config.project_schema import config_schema


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def never(_home: str) -> McpClient:
        raise AssertionError("a daemon was asked")

    monkeypatch.setattr(McpClient, "connect", never)
    (tmp_path / ".git").mkdir()
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    monkeypatch.setenv("ROVER_HOME", str(tmp_path / "data"))
    return tmp_path


def write(here: Path, text: str) -> None:
    (here / ".rover").mkdir()
    (here / ".rover" / "config.yaml").write_text(text)


def test_the_projects_own_file_is_checked_from_a_subfolder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here, "agent: codex\ncopy: [.env]\n")
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == ".rover/config.yaml: ok: it sets agent, copy\n"
    assert main(["config", "show"]) == 0
    assert json.loads(capsys.readouterr().out) == {"agent": "codex", "copy": [".env"]}


def test_an_error_has_its_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B4."""
    write(here, "agent: codex\nnope: 1\n")
    assert main(["config", "check"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(".rover/config.yaml:2:1: unknown key 'nope'")
    assert not out
    assert main(["config", "check", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["error"]["line"]) == (False, 2)
    assert main(["config", "show"]) == 1


def test_without_a_file_it_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 1
    assert "rover init creates one" in capsys.readouterr().err


def test_ones_own_settings_are_checked_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = here / "data" / "config.yaml"
    own.parent.mkdir()
    own.write_text("concurrency: 2\nretry:\n  jiter: 0\n")
    assert main(["config", "check"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"{own}:3: unknown key 'jiter' (did you mean 'jitter'?); known here: ")
    assert not out
    write(here, "agent: codex\n")
    own.write_text("concurrency: 2\n")
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == f".rover/config.yaml: ok: it sets agent\n{own}: ok\n"
    assert main(["config", "check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["valid"]
    assert told["also"] == [{"file": str(own), "valid": True}]


def test_a_file_can_be_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "other.yaml").write_text("version: 1\n")
    assert main(["config", "check", str(here / "other.yaml")]) == 0
    assert "nothing: all defaults apply" in capsys.readouterr().out


def test_the_schema_is_printed_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == config_schema()
