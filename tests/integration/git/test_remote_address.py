"""Which remote is meant, and where it is: read as data."""

from __future__ import annotations

import pytest

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.remote_address import choose_remote, remote_names, rewritten

ORIGIN = {"remote.origin.url": ("https://a.example/x",), "remote.fork.pushurl": ("b:x",)}


@pytest.mark.parametrize(
    ("config", "own", "name"),
    [
        ({}, (), "origin"),
        ({"branch.main.remote": ("fork",)}, (), "fork"),
        ({"branch.main.remote": (".",)}, (), "origin"),
        ({"branch.main.remote": ("gone",)}, (), "origin"),
        ({"branch.main.remote": ("origin",)}, (("remote.pushdefault", "fork"),), "fork"),
        ({"remote.pushdefault": ("origin",)}, (("remote.pushdefault", "fork"),), "origin"),
        ({"branch.task.pushremote": ("fork",), "remote.pushdefault": ("origin",)}, (), "fork"),
    ],
)
def test_the_remote_is_the_one_that_git_would_push_to(
    config: dict[str, tuple[str, ...]], own: tuple[tuple[str, str], ...], name: str
) -> None:
    assert choose_remote({**ORIGIN, **config}, own, ("task", None, "main")) == name


def test_of_several_remotes_one_has_to_be_named() -> None:
    config = {"remote.a.url": ("x",), "remote.b.url": ("y",)}
    with pytest.raises(UserFixable, match="a, b"):
        choose_remote(config, (), ())
    assert choose_remote({"remote.a.b.url": ("x",)}, (), ()) == "a.b"
    assert remote_names(ORIGIN) == ["origin", "fork"]


OWN = (
    ("url.https://long/.insteadof", "https://a.example/x"),
    ("url.https://short/.insteadof", "https://a."),
    ("url.ssh://push/.pushinsteadof", "https://a.example/"),
)


@pytest.mark.parametrize(
    ("url", "explicit", "result"),
    [
        ("https://a.example/x.git", True, "https://long/.git"),
        ("https://a.example/x.git", False, "ssh://push/x.git"),
        ("https://a.other/x", False, "https://short/other/x"),
        ("https://b.example/x", False, "https://b.example/x"),
    ],
)
def test_an_address_is_rewritten_as_git_would(url: str, explicit: bool, result: str) -> None:
    assert rewritten(url, OWN, explicit=explicit) == result
