"""Whose credential a task's model calls use."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.config.load_settings import load_settings
from rover_mcp.config.settings import CredentialSource, Settings
from rover_mcp.daemon import key_commands as module
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.provider_access import lacks_credential
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS
from rover_mcp.tasks.caller import Caller
from tests.support.samples import attempt_row, task_row

HERE = Path("/")
ANTHROPIC_URL = PROVIDERS["anthropic"].base_url


def made(**source: Any) -> Credentials:
    found = {"anthropic": CredentialSource(**source)} if source else {}
    return Credentials(Settings(home=HERE, credentials=found))


def connect(credentials: Credentials, client: str, **env: str) -> Caller:
    caller = Caller(client, HERE, env=env)
    credentials.remember(caller)
    return caller


def access(credentials: Credentials, attempt: str | None = None) -> ProviderAccess | None:
    row = attempt_row(client_id=attempt) if attempt else None
    return credentials.access("anthropic", task_row(client_id="maker"), row)


def key(credentials: Credentials, attempt: str | None = None) -> str | None:
    found = access(credentials, attempt)
    return found.header_value if found else None


def test_the_client_that_resumed_comes_before_the_one_that_made_the_task() -> None:
    """M2: and both before config.yaml."""
    credentials = made(command="echo configured")
    assert key(credentials, "resumer") == "configured"
    connect(credentials, "maker", ANTHROPIC_API_KEY="makers")
    assert key(credentials) == key(credentials, "resumer") == "makers"
    connect(credentials, "resumer", ANTHROPIC_API_KEY="resumers")
    assert key(credentials, "resumer") == "resumers"
    assert key(credentials) == "makers"


def test_a_client_without_a_key_lends_nothing() -> None:
    """M2: an empty variable is none."""
    credentials = made()
    connect(credentials, "resumer", ANTHROPIC_API_KEY="", ANTHROPIC_AUTH_TOKEN="")
    assert key(credentials, "resumer") is None
    connect(credentials, "maker", ANTHROPIC_API_KEY="makers")
    assert key(credentials, "resumer") == "makers"


def test_no_provider_gets_the_key_of_another() -> None:
    """M2."""
    for name in PROVIDERS:
        others = {
            other: CredentialSource(command="echo others") for other in PROVIDERS if other != name
        }
        credentials = Credentials(Settings(home=HERE, credentials=others))
        variables = [v.name for p in PROVIDERS.values() if p.name != name for v in p.variables]
        connect(credentials, "maker", **dict.fromkeys(variables, "others"))
        assert credentials.access(name, task_row(client_id="maker"), None) is None
    assert Credentials(Settings(home=HERE)).access("mistral", task_row(), None) is None


@pytest.mark.parametrize(
    ("provider", "variable", "header", "value"),
    [
        ("anthropic", "ANTHROPIC_API_KEY", "x-api-key", "k"),
        ("anthropic", "ANTHROPIC_AUTH_TOKEN", "authorization", "Bearer k"),
        ("anthropic", "CLAUDE_CODE_OAUTH_TOKEN", "authorization", "Bearer k"),
        ("openai", "OPENAI_API_KEY", "authorization", "Bearer k"),
        ("google", "GEMINI_API_KEY", "x-goog-api-key", "k"),
        ("google", "GOOGLE_API_KEY", "x-goog-api-key", "k"),
    ],
)
def test_each_variable_goes_as_its_provider_takes_it(
    provider: str, variable: str, header: str, value: str
) -> None:
    credentials = Credentials(Settings(home=HERE))
    url = PROVIDERS[provider].url_variable
    connect(credentials, "maker", **{variable: "k", url: "http://localhost:1"})
    found = credentials.access(provider, task_row(client_id="maker"), None)
    assert found is not None
    assert (found.header_name, found.header_value) == (header, value)
    assert found.base_url == "http://localhost:1"
    assert (found.account or "").startswith(f"{provider}-")


def test_a_configured_source_may_name_its_own_address() -> None:
    """And a subscription's token is told from a key."""
    found = access(made(command="echo sk-ant-oat01-x", base_url="https://proxy.example/a"))
    assert found is not None
    assert found.base_url == "https://proxy.example/a"
    assert (found.header_name, found.header_value) == ("authorization", "Bearer sk-ant-oat01-x")


def test_a_key_goes_into_its_own_header_and_to_its_own_place() -> None:
    """M2: a gateway of the client's gets the client's token and never the configured key."""
    credentials = made(command="echo configured")
    connect(credentials, "maker", ANTHROPIC_BASE_URL="http://localhost:1")
    found = access(credentials)
    assert found is not None
    assert (found.base_url, found.header_value) == (ANTHROPIC_URL, "configured")
    connect(credentials, "maker", ANTHROPIC_BASE_URL="http://localhost:1", ANTHROPIC_AUTH_TOKEN="t")
    found = access(credentials)
    assert found is not None
    assert found.base_url == "http://localhost:1"
    assert (found.header_name, found.header_value) == ("authorization", "Bearer t")
    connect(credentials, "maker", ANTHROPIC_API_KEY="k", ANTHROPIC_AUTH_TOKEN="t")
    found = access(credentials)
    assert found is not None
    assert (found.base_url, found.header_name) == (ANTHROPIC_URL, "x-api-key")


def test_an_account_is_named_without_its_key() -> None:
    """D1: the same account, the same name; neither name nor repr tells the key."""
    credentials = made()
    connect(credentials, "maker", ANTHROPIC_API_KEY="sk-ant-secret")
    connect(credentials, "resumer", ANTHROPIC_API_KEY="sk-ant-other")
    one, again, other = access(credentials), access(credentials), access(credentials, "resumer")
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.account == again.account != other.account
    assert "secret" not in repr(one) + str(one.account)
    assert "secret" not in repr(Caller("maker", HERE, env={"ANTHROPIC_API_KEY": "secret"}))


def test_what_a_client_hands_over_replaces_what_it_had() -> None:
    """D9: a key that was corrected is used from the next call on."""
    credentials = made()
    connect(credentials, "maker", ANTHROPIC_API_KEY="old")
    connect(credentials, "maker", ANTHROPIC_API_KEY="new")
    assert key(credentials) == "new"


def test_a_caller_is_told_whether_its_tasks_would_have_a_credential() -> None:
    credentials = made()
    with_key = connect(credentials, "maker", ANTHROPIC_API_KEY="k")
    others = {"openai": None, "google": None}
    assert credentials.found(with_key) == {"anthropic": "ANTHROPIC_API_KEY", **others}
    anothers = {"anthropic": "ANTHROPIC_API_KEY of another client", **others}
    assert credentials.found(connect(credentials, "other")) == anothers
    configured = made(command="echo k").found(Caller("x", HERE))["anthropic"]
    assert configured == "config.yaml: credentials.anthropic.command"


def test_a_configured_variable_file_or_command_is_read_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D9: at the moment of use."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ROVER_TEST_KEY", raising=False)
    by_env, by_file = made(env="ROVER_TEST_KEY"), made(file="~/key")
    by_command = made(command=f"cat '{tmp_path}/key'")
    assert key(by_env) is key(by_file) is key(by_command) is None
    monkeypatch.setenv("ROVER_TEST_KEY", "e")
    (tmp_path / "key").write_text("  f\n")
    assert (key(by_env), key(by_file), key(by_command)) == ("e", "f", "f")


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    assert key(made(file=str(tmp_path / "key"))) is None
    assert key(made(file=str(tmp_path))) is None
    assert key(made(file="~no-such-user/key")) is None


@pytest.mark.parametrize(
    "command",
    [
        "false",
        "sh -c 'echo half; exit 3'",
        "no-such-command-here",
        "true",
        "echo 'unclosed",
        "printf '\\377'",
        "   ",
    ],
)
def test_a_command_that_fails_or_prints_nothing_is_none(command: str) -> None:
    """D9: what it printed before it failed is not used."""
    assert key(made(command=command)) is None


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """D9: an attempt does not wait for somebody's password prompt."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)
    begun: list[subprocess.Popen[str]] = []
    real = subprocess.Popen.__init__

    def remember(self: Any, *args: Any, **named: Any) -> None:
        begun.append(self)
        real(self, *args, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", remember)
    assert key(made(command="sleep 60")) is None
    assert [process.returncode for process in begun] == [-9]


def test_a_command_cannot_ask_the_daemons_standard_input() -> None:
    """In the foreground that is the client's protocol stream."""
    assert key(made(command="sh -c 'cat; echo k'")) == "k"


def test_an_agents_own_log_in_passes_only_where_config_asks_for_it_by_name() -> None:
    """And a client's key comes before it."""
    credentials = made(passthrough=True, base_url="https://chat.example/api")
    found = access(credentials)
    assert found is not None
    assert (found.passthrough, found.base_url) == (True, "https://chat.example/api")
    assert credentials.access("openai", task_row(client_id="maker"), None) is None
    connect(credentials, "maker", ANTHROPIC_API_KEY="makers")
    found = access(credentials)
    assert found is not None
    assert (found.passthrough, found.header_value) == (False, "makers")
    with pytest.raises(ValueError, match="exactly one"):
        CredentialSource(passthrough=True, env="X")
    with pytest.raises(ValueError, match="exactly one"):
        CredentialSource(passthrough=False)


def test_what_there_is_to_sign_in_with_is_known_without_asking_for_it() -> None:
    nothing, configured = made(), made(command="false")
    ann, bob = (Caller(n, HERE, env={}, user=n) for n in ("ann", "bob"))
    terminal = connect(nothing, "terminal")
    assert not nothing.is_named("anthropic", terminal)
    assert not nothing.is_named(None, terminal)
    connect(nothing, "assistant", ANTHROPIC_API_KEY="its own")
    assert nothing.is_named("anthropic", terminal), "what it made may go on with its key"
    assert not nothing.is_named("openai", terminal)
    assert not nothing.is_named("anthropic", ann), "a user over HTTP has no part in it"
    assert configured.is_named("anthropic", bob)


def test_any_client_of_the_same_user_has_the_key_that_a_task_lacks() -> None:
    """Q4: after the clients that it is of, and after config.yaml; its account's before others."""
    credentials = made()
    connect(credentials, "late", ANTHROPIC_API_KEY="lates")
    assert key(credentials) == "lates"
    connect(credentials, "later", ANTHROPIC_API_KEY="laters")
    assert key(credentials) == "laters"
    used = credentials.access("anthropic", task_row(client_id="late"), None)
    assert used is not None
    late = task_row(client_id="gone", account=used.account)
    found = credentials.access("anthropic", late, None)
    assert found is not None
    assert found.header_value == "lates"
    configured = made(command="echo configured")
    connect(configured, "late", ANTHROPIC_API_KEY="lates")
    assert key(configured) == "configured"


def test_no_user_has_a_part_in_the_keys_of_another() -> None:
    """M2, Q4: a user over HTTP, the one of this machine, another one over HTTP."""
    credentials = made()
    for user in (None, "ann"):
        env = {"ANTHROPIC_API_KEY": f"of {user}"}
        credentials.remember(Caller(f"client of {user}", HERE, env=env, user=user))
    for owner, wanted in ((None, "of None"), ("ann", "of ann"), ("bob", None)):
        found = credentials.access("anthropic", task_row(client_id="gone", owner=owner), None)
        assert (found and found.header_value) == wanted


def test_a_credential_that_was_refused_is_left_for_any_other_one() -> None:
    """Q5, D9: at the same address; a key that goes elsewhere is another credential."""
    credentials = made(command="echo configured")
    connect(credentials, "maker", ANTHROPIC_API_KEY="makers")
    refused: list[str] = []
    for wanted in ("makers", "configured", "lates", None):
        task = task_row(client_id="maker", refused_keys=refused)
        found = credentials.access("anthropic", task, None)
        assert (found and found.header_value) == wanted
        refused = [*refused, *([found.digest] if found else [])]
        if wanted == "configured":
            connect(credentials, "late", ANTHROPIC_API_KEY="lates")
    assert "refused the credential" in lacks_credential("anthropic", task_row(refused_keys=["a"]))
    elsewhere = {"ANTHROPIC_API_KEY": "makers", "ANTHROPIC_BASE_URL": "http://localhost:1"}
    connect(credentials, "maker", **elsewhere)
    found = credentials.access("anthropic", task_row(client_id="maker", refused_keys=refused), None)
    assert found is not None
    assert "makers" not in "".join(refused)


def test_what_the_user_has_just_written_into_config_yaml_counts(tmp_path: Path) -> None:
    """Q4, Q5: a task that waits keeps the daemon at work, which is not replaced then."""
    file, secret = tmp_path / "config.yaml", tmp_path / "key"
    secret.write_text("k")
    credentials = Credentials(load_settings(tmp_path))
    assert key(credentials) is None
    assert secret not in credentials.files()
    file.write_text(f"credentials: {{anthropic: {{file: {secret}}}}}")
    assert key(credentials) == "k"
    assert {file, secret} <= {*credentials.files()}
    file.write_text("credentials: {anthropic: nonsense}")
    assert key(credentials) == "k", "a file that cannot be used changes nothing"


def test_a_client_is_news_once() -> None:
    """Q5: what it brought is looked at once, however often it connects."""
    news: list[int] = []
    credentials = made()
    credentials.on_news = lambda: news.append(1)
    for name in ("a", "b", "a"):
        connect(credentials, name, ANTHROPIC_API_KEY="k")
    assert news == [1]
    connect(credentials, "a", ANTHROPIC_API_KEY="another")
    assert news == [1, 1]
