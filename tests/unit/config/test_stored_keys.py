"""Keys that `rover login` keeps, and where (M2)."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from rover_mcp.cli.command_line import main
from rover_mcp.config import stored_keys
from rover_mcp.config.load_settings import load_settings
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.tasks.caller import Caller
from tests.support.samples import task_row

KEY = "sk-ant-api03-a-kept-one"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FILE_RING", str(tmp_path / "ring"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return tmp_path / "home"


def ring(monkeypatch: pytest.MonkeyPatch, name: str = "FileKeyring") -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"tests.support.file_ring.{name}")


def login(monkeypatch: pytest.MonkeyPatch, home: Path, key: str, *words: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
    return main(["login", "anthropic", "--stdin", "--home", str(home), *words])


def key_of(home: Path, credentials: Credentials) -> str | None:
    found = credentials.access("anthropic", task_row(client_id="gone"), None)
    return found.header_value if found else None


def test_without_a_keyring_a_key_is_in_a_file_that_only_its_user_reads(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the user is told so."""
    credentials = Credentials(load_settings(home))
    assert key_of(home, credentials) is None
    assert login(monkeypatch, home, KEY) == 0
    told = capsys.readouterr().out
    assert "not encrypted" in told
    assert str(home / "keys" / "anthropic") in told
    assert KEY not in told
    assert {p.stat().st_mode & 0o777 for p in (home / "keys").iterdir()} == {0o600}
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    assert key_of(home, credentials) == KEY
    assert home / "keys" / "anthropic" in credentials.files()
    assert credentials.found(Caller("x", home))["anthropic"] == "rover login anthropic (file)"
    assert main(["logout", "anthropic", "--home", str(home)]) == 0
    assert key_of(home, credentials) is None
    assert list((home / "keys").iterdir()) == []


def test_a_key_in_the_keyring_is_nowhere_else_and_is_found_by_a_daemon(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At each use, without a client; the newest one counts at once."""
    ring(monkeypatch)
    assert login(monkeypatch, home, "sk-ant-api03-an-old-one") == 0
    credentials = Credentials(load_settings(home))
    assert key_of(home, credentials) == "sk-ant-api03-an-old-one"
    assert login(monkeypatch, home, KEY) == 0
    assert key_of(home, credentials) == KEY
    assert KEY in (home.parent / "ring").read_text()
    assert not [p for p in home.rglob("*") if p.is_file() and KEY in p.read_text()]
    assert "the system's keyring" in capsys.readouterr().out
    assert main(["logout", "anthropic", "--home", str(home)]) == 0
    assert KEY not in (home.parent / "ring").read_text()
    assert key_of(home, credentials) is None


def test_a_keyring_that_is_locked_is_not_used_and_quotes_no_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ring(monkeypatch, "LockedKeyring")
    assert login(monkeypatch, home, KEY) == 0
    said = capfd.readouterr()
    assert "not encrypted" in said.out
    assert KEY not in said.out + said.err


def test_the_list_names_accounts_and_places_and_never_a_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several accounts of one provider."""
    assert login(monkeypatch, home, KEY) == 0
    assert login(monkeypatch, home, "sk-2", "--name", "work", "--base-url", "http://host:1") == 0
    capsys.readouterr()
    assert main(["login", "--list", "--json", "--home", str(home)]) == 0
    told = capsys.readouterr().out
    assert [k["account"] for k in json.loads(told)["logins"]] == ["anthropic", "anthropic:work"]
    assert KEY not in told
    assert main(["login", "--list", "--home", str(home)]) == 0
    assert "anthropic:work" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["", "two words", "two\nlines", "\u00e9", "x" * 9000])
def test_what_cannot_be_a_key_is_not_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    assert login(monkeypatch, home, key) == 1
    assert stored_keys.all_keys(home) == []


@pytest.mark.parametrize(
    "words",
    [["login", "nobody"], ["login", "openai"], ["login"], ["logout", "openai"],
     ["login", "openai", "--name", "../x", "--stdin"]],
)  # fmt: skip
def test_a_wrong_call_says_what_is_wrong(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    """No terminal is asked where there is none."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-key\n"))
    assert main([*words, "--home", str(home)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 2
    assert stored_keys.all_keys(home) == []


def order(credentials: Credentials) -> list[tuple[str | None, str]]:
    found = credentials.accesses("anthropic", task_row(client_id="gone"), None)
    return [(access.account, access.header_value) for access in found]


def test_accounts_take_over_in_the_order_of_their_log_ins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names that their user gave. A key that is renewed keeps its place, what
    config.yaml names comes first, and one that is gone takes no place."""
    for name in ("work", "home", "spare"):
        assert login(monkeypatch, home, f"sk-{name}", "--name", name) == 0
    credentials = Credentials(load_settings(home))
    names = ["anthropic:work", "anthropic:home", "anthropic:spare"]
    assert [account for account, _ in order(credentials)] == names
    assert login(monkeypatch, home, "sk-renewed", "--name", "work") == 0
    assert order(credentials)[0] == ("anthropic:work", "sk-renewed")
    assert [account for account, _ in order(credentials)] == names
    closed = credentials.access(
        "anthropic", task_row(client_id="gone"), None, closed=["anthropic:work"]
    )
    assert closed is not None
    assert (closed.account, closed.header_value) == ("anthropic:home", "sk-home")
    assert main(["logout", "anthropic", "--name", "home", "--home", str(home)]) == 0
    assert [account for account, _ in order(credentials)] == [names[0], names[2]]
    (home / "own").write_text("sk-own")
    text = f"credentials: {{'anthropic:own': {{file: {home / 'own'}}}}}"
    (home / "config.yaml").write_text(text)
    accounts = [account for account, _ in order(Credentials(load_settings(home)))]
    assert accounts == ["anthropic:own", names[0], names[2]]
    assert login(monkeypatch, home, "sk-home", "--name", "home") == 0
    accounts = [account for account, _ in order(Credentials(load_settings(home)))]
    assert accounts == ["anthropic:own", names[0], names[2], names[1]]


def test_config_yaml_comes_before_what_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert login(monkeypatch, home, KEY) == 0
    (home / "config.yaml").write_text("credentials: {anthropic: {command: echo configured}}")
    assert key_of(home, Credentials(load_settings(home))) == "configured"


def test_a_damaged_index_is_an_empty_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert login(monkeypatch, home, KEY) == 0
    (home / "logins.json").write_text('{"keys": [{"account": 1}]}')
    assert stored_keys.all_keys(home) == []
    assert login(monkeypatch, home, KEY) == 0
    assert len(stored_keys.all_keys(home)) == 1
