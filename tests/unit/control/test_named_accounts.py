"""Several accounts of one provider, as config.yaml names them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rover_mcp.config.load_settings import load_settings
from rover_mcp.config.settings import Settings
from rover_mcp.control.control_ports import Account
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.gateway_adapter import GatewayAdapter
from rover_mcp.daemon.task_networks import TaskNetworks
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.tasks.caller import Caller
from tests.support.attempts_site import ControlHarness
from tests.support.samples import TASK, task_row

WORK, HOME = "anthropic:work", "anthropic:home"
TASKS = task_row(client_id="maker")


def settings(home: Path, **credentials: Any) -> Settings:
    """A configuration as a user writes it; `work` and `home` are files of keys."""
    home.mkdir(parents=True, exist_ok=True)
    found = {key.replace("__", ":"): source for key, source in credentials.items()}
    (home / "config.yaml").write_text(json.dumps({"credentials": found}))
    return load_settings(home)


@pytest.fixture
def two(tmp_path: Path) -> Credentials:
    for name in ("work", "home"):
        (tmp_path / f"{name}-key").write_text(f"key-of-{name}")
    files = {f"anthropic__{n}": {"file": str(tmp_path / f"{n}-key")} for n in ("work", "home")}
    return Credentials(settings(tmp_path / "data", **files))


def accesses(credentials: Credentials) -> dict[str | None, str]:
    found = credentials.accesses("anthropic", TASKS, None)
    return {access.account: access.header_value for access in found}


def access(credentials: Credentials, account: str | None, **more: Any) -> ProviderAccess | None:
    return credentials.access("anthropic", TASKS, None, account=account, **more)


def test_accounts_have_the_users_names_and_order(two: Credentials) -> None:
    """Q6."""
    assert accesses(two) == {WORK: "key-of-work", HOME: "key-of-home"}
    assert two.is_named("anthropic", Caller("maker", Path("/")))
    assert not two.is_named("openai", Caller("maker", Path("/")))
    told = two.found(Caller("maker", Path("/")))["anthropic"]
    assert told == (
        "config.yaml: credentials.anthropic:work.file, config.yaml: credentials.anthropic:home.file"
    )


@pytest.mark.parametrize(("account", "key"), [(WORK, "key-of-work"), (HOME, "key-of-home")])
def test_an_attempt_gets_the_key_of_the_account_that_was_chosen(
    two: Credentials, account: str, key: str
) -> None:
    """M2."""
    found = access(two, account)
    assert found is not None
    assert (found.account, found.header_value) == (account, key)


def test_a_chosen_account_without_its_key_gets_no_other_ones(
    two: Credentials, tmp_path: Path
) -> None:
    """M2."""
    (tmp_path / "home-key").unlink()
    env = {"ANTHROPIC_API_KEY": "sk-of-another-terminal"}
    two.remember(Caller("somebody", Path("/"), env=env))
    assert access(two, HOME) is None
    renewed = access(two, "anthropic-1a2b3c4d")
    assert renewed is None, "a key without a name that is gone is no account's that has one"
    assert accesses(two) == {WORK: "key-of-work"}


def test_an_account_that_nobody_chose_is_the_first_that_is_open(two: Credentials) -> None:
    """Q6: of the steps of another provider's agent."""
    for closed, expected in (((), WORK), ((WORK,), HOME), ((WORK, HOME), WORK)):
        found = access(two, None, closed=closed)
        assert found is not None
        assert found.account == expected


def test_a_clients_own_key_comes_first_and_has_its_accounts_name(two: Credentials) -> None:
    """Q6: the same key is the same account, wherever it comes from."""
    two.remember(Caller("maker", Path("/"), env={"ANTHROPIC_API_KEY": "key-of-home"}))
    assert [*accesses(two)] == [HOME, WORK]
    other = Caller("maker", Path("/"), env={"ANTHROPIC_API_KEY": "sk-another"})
    two.remember(other)
    label, *rest = accesses(two)
    assert rest == [WORK, HOME]
    assert str(label).startswith("anthropic-")
    assert "another" not in str(label)


def test_another_clients_key_does_not_take_over(two: Credentials, tmp_path: Path) -> None:
    """M2: nobody said that it may; only where there is no other it is used."""
    env = {"ANTHROPIC_API_KEY": "sk-of-another-terminal"}
    two.remember(Caller("somebody", Path("/"), env=env))
    assert [*accesses(two)] == [WORK, HOME]
    for name in ("work", "home"):
        (tmp_path / f"{name}-key").unlink()
    assert [*accesses(two).values()] == ["sk-of-another-terminal"]


def test_two_log_ins_of_one_program_have_folders_of_their_own(tmp_path: Path) -> None:
    """Q6: and one that has expired hides no other."""
    for name, left in (("work", -1), ("home", 3600)):
        (tmp_path / name).mkdir()
        token = {"accessToken": f"of-{name}", "expiresAt": (time.time() + left) * 1000}
        (tmp_path / name / ".credentials.json").write_text(json.dumps({"claudeAiOauth": token}))
    sources = {
        f"anthropic__{n}": {"login": "claude", "folder": str(tmp_path / n)}
        for n in ("work", "home")
    }
    credentials = Credentials(settings(tmp_path / "data", **sources))
    found = credentials.accesses("anthropic", TASKS, None)
    usable = next(found)
    assert (usable.account, usable.header_value, usable.login) == (
        HOME,
        "Bearer of-home",
        "claude",
    )
    assert [path.parent.name for path in credentials.files()[-2:]] == ["work", "home"]
    signed_in, _ = credentials.sign_in("claude", "anthropic", "yes", Caller("maker", Path("/")))
    assert signed_in == "yes"


@pytest.mark.parametrize("key", ["anthropic:", "anthropic:a#b", "anthropic:a b", "anthropic:a:b"])
def test_a_name_that_would_be_misread_is_refused(tmp_path: Path, key: str) -> None:
    """Q6."""
    with pytest.raises(Exception, match="an account's name consists of letters"):
        settings(tmp_path, **{key: {"env": "X"}})


def test_the_gateway_asks_with_the_account_of_the_attempt(
    site: ControlHarness, two: Credentials, tmp_path: Path
) -> None:
    """M2: also while it waits for one model of it; another provider's step has its own."""
    leases: list[Any] = []
    real: Any = SimpleNamespace(open=leases.append, call=lambda work, *args: work(*args))
    networks = TaskNetworks(site.settings, site.store, two)
    adapter = GatewayAdapter(
        site.home, real, real, site.store, two, networks, lambda _: None, lambda *_: None,
    )  # fmt: skip
    site.create()
    assert [*adapter.accounts(TASK, 1, "claude")] == [Account(WORK), Account(HOME)]
    for account, key in ((HOME, "home"), (WORK, "work"), (f"{HOME}#opus", "home")):
        site.store.tasks.update(TASK, account=account)
        adapter.open(TASK, 1, Path("/gateway.sock"), "token", "claude")
        found = leases[-1].credentials("anthropic")
        assert found is not None
        assert (found.account, found.header_value) == (f"anthropic:{key}", f"key-of-{key}")
    assert adapter.used(TASK, 1, "anthropic") is None
