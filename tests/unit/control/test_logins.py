"""Logins that programs keep on this host, read for the gateway to hold."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.config.settings import CredentialSource, Settings
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.host_logins import LOGINS, held, label, why_not
from rover_mcp.daemon.provider_access import is_the_providers, lacks_credential
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.gateway.providers import PROVIDERS
from rover_mcp.tasks.caller import Caller
from tests.support.samples import task_row

NOW = 1_790_000_000.0
CLIENT = Caller("maker", Path("/"))


def web_token(**claims: Any) -> str:
    coded = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{coded}.x"


def codex(access: str, **tokens: Any) -> dict[str, Any]:
    return {"OPENAI_API_KEY": None, "tokens": {"access_token": access, **tokens}}


def claude(**found: Any) -> dict[str, Any]:
    return {"claudeAiOauth": {"accessToken": "sk-ant-oat01-a", "refreshToken": "r", **found}}


def keep(folder: Path, kind: str, content: object) -> dict[str, str]:
    """The file, and the environment in which it is found."""
    known = LOGINS[kind]
    (folder / known.name).write_text(content if isinstance(content, str) else json.dumps(content))
    return {known.variable: str(folder)}


def credentials(kind: str, **more: Any) -> Credentials:
    source = CredentialSource(login=kind, **more)  # pyright: ignore[reportArgumentType]
    settings = Settings(home=Path("/"), credentials={LOGINS[kind].provider: source})
    return Credentials(settings, lambda: NOW)


def test_what_goes_to_the_provider_is_the_token_and_the_account(tmp_path: Path) -> None:
    access = web_token(exp=NOW + 60)
    found = held("codex", keep(tmp_path, "codex", codex(access, account_id="acc")), NOW)
    assert (found.token, found.expires) == (access, NOW + 60)
    assert found.headers == (("chatgpt-account-id", "acc"),)
    assert access not in repr(found)
    found = held("claude", keep(tmp_path, "claude", claude(expiresAt=NOW * 1000 + 5000)), NOW)
    assert (found.token, found.expires, found.headers) == ("sk-ant-oat01-a", NOW + 5, ())


def test_the_account_may_stand_in_the_token_alone(tmp_path: Path) -> None:
    claims = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc"}}
    found = held("codex", keep(tmp_path, "codex", codex(web_token(**claims))), NOW)
    assert found.headers == (("chatgpt-account-id", "acc"),)
    assert found.expires is None


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{", '{"tokens": null}', '{"tokens": {"access_token": 5}}',
        '{"OPENAI_API_KEY": "sk-x"}', '{"tokens": {"access_token": "a\\r\\nb: c"}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_file_without_a_log_in_is_said_with_what_mends_it(tmp_path: Path, content: str) -> None:
    """A header cannot be broken by it either."""
    with pytest.raises(EnvironmentFault) as caught:
        held("codex", keep(tmp_path, "codex", content), NOW)
    assert str(tmp_path / "auth.json") in caught.value.message
    assert "codex login" in (caught.value.hint or "")


def test_no_file_is_said_as_well(tmp_path: Path) -> None:
    told = why_not("claude", {"CLAUDE_CONFIG_DIR": str(tmp_path)}, NOW)
    assert "No such file" in (told or "")
    assert "claude /login" in (told or "")
    unknown = why_not("claude", {"CLAUDE_CONFIG_DIR": "~nobody-here"}, NOW)
    assert "~/.claude/.credentials.json: it cannot be read" in str(unknown)


def test_it_counts_until_it_expires(tmp_path: Path) -> None:
    environ = keep(tmp_path, "codex", codex(web_token(exp=NOW)))
    assert why_not("codex", environ, NOW - 1) is None
    assert "run `codex` once" in str(why_not("codex", environ, NOW))


def test_an_account_keeps_its_name_when_its_token_is_renewed(tmp_path: Path) -> None:
    """K2: a closed account stays closed."""
    names: list[str] = []
    for access, account in (("one", "a"), ("two", "a"), ("three", "b")):
        environ = keep(tmp_path, "codex", codex(access, account_id=account))
        names.append(label("codex", held("codex", environ, NOW)))
    assert names[0] == names[1] != names[2]


def test_it_is_lent_where_config_names_it_and_read_at_each_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M2: a key that a client hands over comes before it; its address is its own."""
    environ = keep(tmp_path, "codex", codex("one", account_id="acc"))
    monkeypatch.setenv("CODEX_HOME", environ["CODEX_HOME"])
    lent, task = credentials("codex"), task_row(client_id="maker")
    found = lent.access("openai", task, None)
    assert found is not None
    assert (found.header_name, found.header_value) == ("authorization", "Bearer one")
    assert found.beside == (("chatgpt-account-id", "acc"),)
    assert found.base_url == "https://chatgpt.com/backend-api/codex"
    assert lent.unfit("openai", "codex", found) is None
    assert "serves codex alone" in str(lent.unfit("openai", "qwen", found))
    keep(tmp_path, "codex", codex("two"))
    found = lent.access("openai", task, None)
    assert found is not None
    assert found.header_value == "Bearer two"
    # A client's address without its key does not lead the login elsewhere.
    lent.remember(Caller("maker", Path("/"), env={"OPENAI_BASE_URL": "http://elsewhere"}))
    found = lent.access("openai", task, None)
    assert found is not None
    assert "elsewhere" not in found.base_url
    lent.remember(Caller("maker", Path("/"), env={"OPENAI_API_KEY": "k"}))
    found = lent.access("openai", task, None)
    assert found is not None
    assert (found.header_value, found.beside, found.login) == ("Bearer k", (), None)
    assert found.base_url == PROVIDERS["openai"].base_url
    assert lent.sign_in("qwen", "openai", "OPENAI_API_KEY", CLIENT) == ("OPENAI_API_KEY", None)


def test_how_an_agent_signs_in_or_what_mends_that_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    lent = credentials("codex")

    def told(known: Credentials, agent: str) -> tuple[str | None, str | None]:
        return known.sign_in(agent, "openai", known.found(CLIENT)["openai"], CLIENT)

    assert told(lent, "codex")[0] is None
    assert "codex login" in str(told(lent, "codex")[1])
    nothing = Credentials(Settings(home=Path("/")), lambda: NOW)
    assert "set OPENAI_API_KEY, or sign in: codex login" in str(told(nothing, "codex")[1])
    keep(tmp_path, "codex", codex("one"))
    assert told(lent, "codex") == ("login of codex, held by the gateway", None)
    assert "serves codex alone" in str(told(lent, "qwen")[1])
    assert "credentials: {openai: {login: codex}}" in str(told(nothing, "codex")[1])
    assert told(nothing, "qwen") == (None, "set OPENAI_API_KEY; other ways: docs/gateway.md")
    broken = Settings(home=Path("/"), credentials={"openai": CredentialSource(command="false")})
    assert "credentials.openai" in str(told(Credentials(broken), "codex")[1])


def test_config_may_name_a_log_in_under_its_own_provider_alone() -> None:
    with pytest.raises(ValueError, match="codex's login is not one for anthropic"):
        Settings(home=Path("/"), credentials={"anthropic": CredentialSource(login="codex")})
    with pytest.raises(ValueError, match="exactly one"):
        CredentialSource(login="codex", env="X")


def test_the_end_of_an_accounts_log_in_is_known_and_whether_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q5: no command of another account is run for it."""
    environ = keep(tmp_path, "claude", claude(expiresAt=(NOW + 3600) * 1000))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", environ["CLAUDE_CONFIG_DIR"])
    sources = {
        "anthropic:other": CredentialSource(command="exit 1"),
        "anthropic": CredentialSource(login="claude"),
        "anthropic:work": CredentialSource(login="claude"),
    }
    lent = Credentials(Settings(home=Path("/"), credentials=sources), lambda: NOW)
    assert lent.expiry(None) is None
    assert lent.expiry("anthropic:other") is None
    for account in ("anthropic-claude-log-in", "anthropic:work"):
        found = lent.expiry(account)
        assert found is not None
        assert (found.at, found.obstacle) == (NOW + 3600, None)
        assert found.sentence().endswith("and is then renewed automatically")
    lent.obstacle = lambda _kind, _environ: "no program"
    found = lent.expiry("anthropic:work")
    assert found is not None
    assert "is not renewed automatically (no program): run `claude` once" in found.sentence()
    told = lent.found(CLIENT)["anthropic"]
    assert "expires at 2026-09-21 15:13Z and is not renewed automatically (no program)" in str(told)


@pytest.mark.parametrize(
    ("env", "own"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, True),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://api.anthropic.com/"}, True),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://litellm:4000"}, False),
        ({}, False),
    ],
)
def test_whether_calls_go_to_the_provider_itself_is_known(env: dict[str, str], own: bool) -> None:
    """Q6."""
    known = Credentials(Settings(home=Path("/")), lambda: NOW)
    known.remember(Caller("maker", Path("/"), env=env))
    access = known.access("anthropic", task_row(client_id="maker"), None)
    assert is_the_providers(access, PROVIDERS["anthropic"]) is own


@pytest.mark.parametrize(
    ("agent", "provider", "variable"),
    [("gemini", "google", "GEMINI_CLI_HOME"), ("qwen", "openai", "HOME")],
)
def test_a_log_in_that_the_gateway_does_not_serve_is_said_to_be_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str, provider: str, variable: str
) -> None:
    """Q5, D9: by `rover doctor`, and by the pause for want of a credential."""
    monkeypatch.setenv(variable, str(tmp_path))
    nothing, task = Credentials(Settings(home=Path("/"))), task_row(agent=agent)

    def told() -> list[str]:
        hint = nothing.sign_in(agent, provider, None, CLIENT)[1]
        return [str(hint), lacks_credential(provider, task)]

    assert not any("cannot be used" in text for text in told())
    (tmp_path / f".{agent}").mkdir()
    (tmp_path / f".{agent}" / "oauth_creds.json").write_text("{}")
    assert all(f"the login of {agent} on this machine" in text for text in told())
    assert all("a key is needed" in text for text in told())
