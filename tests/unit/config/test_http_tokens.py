"""Tokens for HTTP: made, kept as digests, found, revoked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from rover_mcp.cli.command_line import main
from rover_mcp.config.http import HttpSettings
from rover_mcp.config.http_tokens import (
    FILE,
    Tokens,
    configured_grants,
    new_token,
    revoke,
    stored_grants,
)
from rover_mcp.domain.errors import EnvironmentFault, NotFound, UserFixable


def test_a_token_is_found_and_is_nowhere_kept(tmp_path: Path) -> None:
    token = new_token(tmp_path, "ann", ("read",))
    other = new_token(tmp_path, "ann", ("read", "write"))
    found = Tokens(tmp_path, ()).find(token)
    assert found is not None
    assert (found.name, found.scopes) == ("ann", ("read",))
    assert token not in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert token != other
    assert len(token) > 40


def test_what_is_made_and_revoked_counts_at_once(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path, ())
    assert tokens.find("x" * 40) is None
    token = new_token(tmp_path, "ann", ("read",))
    found = tokens.find(token)
    assert found
    assert tokens.hold(found.digest)
    bobs = new_token(tmp_path, "bob", ("read",))
    assert revoke(tmp_path, "ann") == 1
    assert tokens.find(token) is None
    assert not tokens.hold(found.digest)
    assert tokens.find(bobs)
    with pytest.raises(NotFound):
        revoke(tmp_path, "ann")


@pytest.mark.parametrize("name", ["", "Ann", "../x", "a" * 33, "a\n", "-x", "a b", "ä"])
def test_a_name_is_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserFixable):
        new_token(tmp_path, name, ("read",))
    assert not (tmp_path / FILE).exists()


def test_a_damaged_file_gives_nobody_anything(tmp_path: Path) -> None:
    token = new_token(tmp_path, "ann", ("read",))
    tokens = Tokens(tmp_path, ())
    assert tokens.find(token)
    for text in ("", "{}", "[]", '{"tokens": [{"name": "ann"}]}', '{"tokens": 3}', "\ufffd"):
        (tmp_path / FILE).write_text(text)
        assert tokens.find(token) is None
        with pytest.raises(EnvironmentFault):
            stored_grants(tmp_path)
        with pytest.raises(EnvironmentFault):
            new_token(tmp_path, "bob", ("read",))


def test_configured_tokens_come_from_a_file_a_variable_or_a_digest(tmp_path: Path) -> None:
    token = "t" * 32
    (tmp_path / "token").write_text(f"{token}\n")
    settings = HttpSettings.model_validate(
        {
            "tokens": [
                {"name": "file", "token_file": str(tmp_path / "token"), "scopes": ["read"]},
                {"name": "env", "token_env": "ROVER_TOKEN"},
                {"name": "sum", "sha256": hashlib.sha256(b"s" * 40).hexdigest()},
            ]
        }
    )
    grants = configured_grants(settings, {"ROVER_TOKEN": "e" * 32})
    tokens = Tokens(tmp_path, grants)
    found = [tokens.find(t) for t in (token, "e" * 32, "s" * 40, "x" * 40)]
    assert [g and (g.name, g.scopes) for g in found] == [
        ("file", ("read",)), ("env", ("read", "write")), ("sum", ("read", "write")), None,
    ]  # fmt: skip
    for environ in ({}, {"ROVER_TOKEN": "short"}):
        with pytest.raises(EnvironmentFault, match="token of env"):
            configured_grants(settings, environ)


@pytest.mark.parametrize(
    "token",
    [
        {"name": "a"},
        {"name": "a", "token_env": "X", "sha256": "0" * 64},
        {"name": "a", "sha256": "0" * 63},
        {"name": "A", "token_env": "X"},
        {"name": "a\n", "token_env": "X"},
        {"name": "a", "token_env": "X", "scopes": ["write"]},
        {"name": "a", "token_env": "X", "scopes": ["admin"]},
        {"name": "a", "token": "in the clear"},
    ],
)
def test_what_is_no_token_is_refused(token: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings.model_validate({"tokens": [token]})


def test_projects_are_absolute() -> None:
    with pytest.raises(ValueError, match="absolute"):
        HttpSettings.model_validate({"projects": ["here"]})


def test_rover_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path)]
    assert main(["token", "new", "ann", "--scope", "read", *home]) == 0
    token = capsys.readouterr().out.strip()
    found = Tokens(tmp_path, ()).find(token)
    assert found
    assert found.scopes == ("read",)
    assert main(["token", "list", "--json", *home]) == 0
    listed = json.loads(capsys.readouterr().out)["tokens"]
    assert [(t["name"], t["scopes"]) for t in listed] == [("ann", ["read"])]
    assert main(["token", "list", *home]) == 0
    assert found.digest not in capsys.readouterr().out
    assert main(["token", "revoke", "ann", *home]) == 0
    assert "1 of ann" in capsys.readouterr().out
    assert main(["token", "revoke", "ann", *home]) == 1
    assert "no token of 'ann'" in capsys.readouterr().err
    assert main(["token", "list", *home]) == 0
    assert "rover token new" in capsys.readouterr().out
