"""What accounts are called for people: never by a digest alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.config.load_settings import load_settings
from rover_mcp.config.settings import Settings
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.tasks.account_names import account_name
from rover_mcp.tasks.caller import Caller
from tests.support.samples import task_row


def settings(home: Path, **credentials: Any) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text(json.dumps({"credentials": credentials}))
    return load_settings(home)


def labels(credentials: Credentials, provider: str = "anthropic") -> list[str]:
    """Of the accounts that a task of the client `maker` may use."""
    found = credentials.accesses(provider, task_row(client_id="maker"), None)
    return [str(access.account) for access in found]


def connect(credentials: Credentials, client: str = "maker", **env: str) -> None:
    credentials.remember(Caller(client, Path("/"), env=env))


def names(credentials: Credentials, provider: str = "anthropic") -> list[str]:
    return [credentials.account_name(label) for label in labels(credentials, provider)]


def test_a_key_is_called_after_the_variable_that_it_comes_from(tmp_path: Path) -> None:
    credentials = Credentials(settings(tmp_path / "data"))
    connect(credentials, ANTHROPIC_API_KEY="sk-one", OPENAI_API_KEY="sk-two")
    assert names(credentials) == ["anthropic, key from ANTHROPIC_API_KEY"]
    assert names(credentials, "openai") == ["openai, key from OPENAI_API_KEY"]


def test_two_keys_of_one_variable_are_told_apart_by_their_digests_end(tmp_path: Path) -> None:
    credentials = Credentials(settings(tmp_path / "data"))
    connect(credentials, "other", ANTHROPIC_API_KEY="sk-other")
    connect(credentials, ANTHROPIC_API_KEY="sk-one")
    [label] = labels(credentials)
    assert names(credentials) == [f"anthropic, key from ANTHROPIC_API_KEY (…{label[-4:]})"]
    assert "sk-" not in names(credentials)[0]


def test_a_key_that_config_yaml_names_is_called_after_its_line(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-one")
    made = settings(tmp_path / "data", anthropic={"file": str(tmp_path / "key")})
    label = labels(Credentials(made))[0]
    told = "anthropic, key from credentials.anthropic.file in config.yaml"
    assert Credentials(made).account_name(label) == told, "after a restart, before it is used"


def test_a_clients_account_is_known_again_when_it_reconnects(
    tmp_path: Path,
) -> None:
    first = Credentials(settings(tmp_path / "data"))
    connect(first, ANTHROPIC_API_KEY="sk-one")
    [label] = labels(first)
    second = Credentials(settings(tmp_path / "data"))
    assert second.account_name(label) == f"anthropic, account …{label[-4:]}"
    connect(second, ANTHROPIC_API_KEY="sk-one")
    assert second.account_name(label) == "anthropic, key from ANTHROPIC_API_KEY"


def test_a_log_in_is_called_after_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    token = {"accessToken": "of-claude", "expiresAt": 4_000_000_000_000}
    (tmp_path / ".credentials.json").write_text(json.dumps({"claudeAiOauth": token}))
    credentials = Credentials(settings(tmp_path / "data", anthropic={"login": "claude"}))
    assert names(credentials) == ["anthropic, login of claude"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("anthropic:work", "anthropic:work"),
        ("anthropic-claude-log-in", "anthropic, login of claude"),
        ("anthropic-own", "anthropic, the agent's own login"),
        ("openai-1a2b3c4d", "openai, account …3c4d"),
        ("whatever", "whatever"),
    ],
)
def test_a_label_alone_tells_what_it_can(label: str, name: str) -> None:
    assert account_name(label) == name
