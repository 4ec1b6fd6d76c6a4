"""Which remote a push goes to, and where that is, from the configuration as data."""

from __future__ import annotations

import pytest

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.remote_address import RemoteAddress, choose_remote, last, remote_names, rewritten

ORIGIN = {"remote.origin.url": ["https://example.com/a"]}
FORK = {"remote.fork.pushurl": ["https://example.com/b"]}


def test_origin_is_named_first() -> None:
    assert remote_names({**FORK, **ORIGIN, "remote.a.url": ["x"]}) == ["origin", "a", "fork"]
    assert remote_names({"remote.empty.fetch": ["x"]}) == []


@pytest.mark.parametrize(
    ("config", "own", "chosen"),
    [
        ({}, [], "origin"),
        ({"branch.b.pushremote": ["fork"], "branch.b.remote": ["origin"]}, [], "fork"),
        ({"remote.pushdefault": ["fork"]}, [], "fork"),
        ({}, [("remote.pushdefault", "fork")], "fork"),
        ({"remote.pushdefault": ["origin"]}, [("remote.pushdefault", "fork")], "origin"),
        ({"branch.b.remote": ["fork"]}, [], "fork"),
        ({"branch.b.remote": ["gone"]}, [], "origin"),
    ],
)
def test_the_remote_is_chosen_as_git_does(
    config: dict[str, list[str]], own: list[tuple[str, str]], chosen: str
) -> None:
    assert choose_remote({**ORIGIN, **FORK, **config}, own, [None, "b"]) == chosen


def test_a_single_remote_needs_no_name() -> None:
    assert choose_remote(FORK, [], ["b"]) == "fork"


def test_none_and_several_are_errors_that_say_what_to_do() -> None:
    with pytest.raises(UserFixable, match="no remote") as none:
        choose_remote({}, [], [])
    assert none.value.code == "no_remote"
    with pytest.raises(UserFixable, match="several remotes: a, fork") as several:
        choose_remote({**FORK, "remote.a.url": ["x"]}, [], [])
    assert several.value.code == "several_remotes"


REWRITES = [
    ("url.git@example.com:.insteadof", "https://example.com/"),
    ("url.https://mirror.invalid/deep/.insteadof", "https://example.com/deep/"),
    ("url.ssh://push.invalid/.pushinsteadof", "https://example.com/"),
    ("user.name", "https://"),
]


def test_the_users_own_rewrites_hold_the_longest_first() -> None:
    assert rewritten("https://example.com/a", REWRITES, explicit=True) == "git@example.com:a"
    assert rewritten("https://example.com/deep/a", REWRITES, explicit=True) == (
        "https://mirror.invalid/deep/a"
    )
    assert rewritten("https://example.com/a", REWRITES, explicit=False) == "ssh://push.invalid/a"
    assert rewritten("https://other.invalid/a", REWRITES, explicit=False) == (
        "https://other.invalid/a"
    )


def test_an_address_says_its_scheme_and_host() -> None:
    assert RemoteAddress("o", "https://example.com:8443/a").authority == "example.com:8443"
    scp = RemoteAddress("o", "git@example.com:a")
    assert (scp.scheme, scp.authority) == ("ssh", "")
    assert RemoteAddress("o", "http://example.com/a").scheme == "http"


def test_the_last_value_of_a_key_counts() -> None:
    assert last({"a.b": ["x", "y"]}, "a.b") == "y"
    assert last({}, "a.b") == ""
