"""What is shown of secrets in what leaves, and what the user's own settings let pass."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rover_mcp.config.allowed_secrets import AllowedSecret
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.secret_search import GATEWAY_KEY, SecretMatch
from rover_mcp.tasks.outgoing_secrets import check_secrets

TOKEN = SecretMatch("GitHub token", "plain", "tests/data/a.txt", 3, None)
FIXTURES = AllowedSecret(kind="GitHub token", path="tests/*")


def test_a_secret_is_refused_by_kind_file_and_line() -> None:
    """N12"""
    matches = [
        TOKEN,
        SecretMatch("npm token", "base64", "b\nc", 1, None),
        SecretMatch("JSON web token", "split", None, None, "0123456789abcdef"),
        SecretMatch("Slack token", "plain", "x/[hidden]", None, None),
    ]
    with pytest.raises(UserFixable) as refused:
        check_secrets(matches, (), "pushed")
    text = refused.value.message
    assert refused.value.code == "secrets"
    assert "GitHub token in tests/data/a.txt, line 3;" in text
    assert "npm token in base64 in " in text
    assert "JSON web token in pieces in the message of commit 0123456789" in text
    assert "\n" not in text


def test_the_user_lets_pass_what_is_of_a_kind_and_in_a_place() -> None:
    """N12"""
    assert "tests/data/a.txt" in check_secrets([TOKEN], [FIXTURES], "pushed")[0]
    others = (
        SecretMatch("GitHub token", "plain", "src/a.txt", 3, None),
        SecretMatch("npm token", "plain", "tests/data/a.txt", 3, None),
        SecretMatch("GitHub token", "plain", "tests/[hidden]", None, None),
        SecretMatch("GitHub token", "plain", None, None, "0" * 40),
    )
    for other in others:
        with pytest.raises(UserFixable):
            check_secrets([TOKEN, other], [FIXTURES], "pushed")


def test_a_copied_files_value_can_be_allowed_but_no_key_of_the_gateway() -> None:
    """N12"""
    copied = SecretMatch("value of the copied file .env", "plain", "compose.yaml", 3, None)
    assert check_secrets([copied], [AllowedSecret(kind="copied file", path="*.yaml")], "pushed")
    with pytest.raises(ValidationError):
        AllowedSecret(kind=GATEWAY_KEY, path="*")


def test_nothing_to_say_where_nothing_was_seen() -> None:
    assert check_secrets([], [FIXTURES], "pushed") == []


def test_many_are_counted() -> None:
    many = [SecretMatch("npm token", "plain", f"{n}", 1, None) for n in range(30)]
    with pytest.raises(UserFixable, match="and 10 more"):
        check_secrets(many, (), "pushed")
