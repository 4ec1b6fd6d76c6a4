"""Short forms, web addresses and files, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.context.written_references import (
    FileReference,
    ForgeReference,
    PageReference,
    parse_reference,
    parse_remote,
)
from rover_mcp.domain.errors import UserFixable

GITHUB = ["git@github.com:acme/shop.git"]
GITLAB = ["https://gitlab.example.org/group/sub/shop.git"]


@pytest.mark.parametrize(
    ("text", "remotes", "address"),
    [
        ("github:issue/12", GITHUB, "https://github.com/acme/shop/issues/12"),
        ("github:pr/34", GITHUB, "https://github.com/acme/shop/pull/34"),
        ("github:other/tool/issue/1", GITHUB, "https://github.com/other/tool/issues/1"),
        ("gitlab:mr/7", GITLAB, "https://gitlab.example.org/group/sub/shop/-/merge_requests/7"),
        ("gitlab:a/b/c/issue/9", GITLAB, "https://gitlab.example.org/a/b/c/-/issues/9"),
        ("gitlab:a/b/c/issue/9", [], "https://gitlab.com/a/b/c/-/issues/9"),
        (
            "https://github.com/acme/shop/pull/34/files#r1",
            [],
            "https://github.com/acme/shop/pull/34",
        ),
        (
            "https://code.example.org/a/b/-/work_items/3",
            [],
            "https://code.example.org/a/b/-/issues/3",
        ),
        (
            "https://git.corp.example/acme/shop/issues/5",
            ["https://git.corp.example/acme/shop.git"],
            "https://git.corp.example/acme/shop/issues/5",
        ),
        (
            "gitlab:issue/4",
            ["ssh://git@code.corp:2222/a/b.git"],
            "https://code.corp/a/b/-/issues/4",
        ),
        (
            "gitlab:issue/4",
            ["https://code.corp:8443/a/b"],
            "https://code.corp:8443/a/b/-/issues/4",
        ),
    ],
)
def test_a_reference_to_a_forge_has_one_web_address(
    text: str, remotes: list[str], address: str
) -> None:
    """O1."""
    reference = parse_reference(text, remotes, {})
    assert isinstance(reference, ForgeReference)
    assert reference.address == address


def test_the_hosts_of_gh_and_glab_are_used() -> None:
    environment = {"GH_HOST": "git.corp.example", "GITLAB_HOST": "lab.corp.example"}
    github = parse_reference("github:acme/shop/pr/2", [], environment)
    gitlab = parse_reference("gitlab:acme/shop/mr/2", [], environment)
    assert isinstance(github, ForgeReference)
    assert isinstance(gitlab, ForgeReference)
    assert github.address == "https://git.corp.example/acme/shop/pull/2"
    assert gitlab.address == "https://lab.corp.example/acme/shop/-/merge_requests/2"


def test_other_addresses_are_pages_and_the_rest_are_files() -> None:
    assert parse_reference("https://example.org/a?b=c", [], {}) == PageReference(
        "https://example.org/a?b=c"
    )
    # A page of somebody else's that only looks like GitHub's.
    assert parse_reference("https://evil.example/a/b/issues/1", GITHUB, {}) == PageReference(
        "https://evil.example/a/b/issues/1"
    )
    assert parse_reference("notes/plan.md", [], {}) == FileReference("notes/plan.md")
    assert parse_reference("file:///tmp/a%20b", [], {}) == FileReference("/tmp/a b")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x" * 3000, "github:12", "github:issue/0", "github:issue/12x", "gitlab:issue/",
        "github:../../x/issue/1", "github:a/b/c/issue/1", "github:-a/b/issue/1",
        "http://example.org/", "ftp://example.org/a", "https://user@example.org/", "https://",
        "https://[::1/", "https://git..example/a/b/-/issues/1", "javascript://x/",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UserFixable) as refused:
        parse_reference(text, GITHUB, {})
    assert refused.value.code == "invalid_context"
    assert "github:issue/12" in (refused.value.hint or "")


def test_a_short_form_without_a_remote_asks_for_the_repository() -> None:
    with pytest.raises(UserFixable, match="no remote on gitlab") as refused:
        parse_reference("gitlab:issue/9", GITHUB, {})
    assert "gitlab:OWNER/NAME/issue/9" in (refused.value.hint or "")


@given(st.text(max_size=80), st.lists(st.text(max_size=40), max_size=3))
def test_any_text_is_read_or_refused(text: str, remotes: list[str]) -> None:
    with suppress(UserFixable):
        parse_reference(text, remotes, {})


@given(st.text(max_size=60))
def test_any_remote_is_read_or_left_alone(address: str) -> None:
    parse_remote(address)
