"""O6: which sign-in belongs to which host."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.context.tokens import forge_token
from rover_mcp.context.written_references import Forge, ForgeReference, parse_reference

ALL = {
    "GH_TOKEN": "hub", "GH_ENTERPRISE_TOKEN": "enterprise", "GH_HOST": "git.corp.example",
    "GITLAB_TOKEN": "lab", "GITLAB_HOST": "lab.corp.example", "PATH": "/nowhere",
}  # fmt: skip


def reference(text: str) -> ForgeReference:
    parsed = parse_reference(
        text, ["https://git.corp.example/a/b", "https://other.example/a/b"], {}
    )
    assert isinstance(parsed, ForgeReference)
    return parsed


@pytest.mark.known_escape(20)
@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("https://github.com/a/b/issues/1", "hub"),
        ("https://git.corp.example/a/b/issues/1", "enterprise"),
        ("https://other.example/a/b/issues/1", None),
        ("https://lab.corp.example/a/b/-/issues/1", "lab"),
        ("https://gitlab.com/a/b/-/issues/1", None),
        ("https://evil.example/a/b/-/issues/1", None),
    ],
)
def test_a_variables_token_is_one_hosts(text: str, token: str | None) -> None:
    assert forge_token(reference(text), ALL) == token


@pytest.mark.known_escape(20)
def test_gh_is_asked_for_the_host_without_the_callers_tokens(tmp_path: Path) -> None:
    program = tmp_path / "gh"
    program.write_text('#!/bin/sh\n[ -z "$GH_TOKEN" ] && echo "$4-token"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/bin:/usr/bin", "GH_TOKEN": ""}
    assert forge_token(reference("https://github.com/a/b/issues/1"), environment) == (
        "github.com-token"
    )


@pytest.mark.parametrize("printed", ["", "two words", "a\\033[1mb", "x" * 2000])
def test_what_is_no_token_is_not_sent(tmp_path: Path, printed: str) -> None:
    program = tmp_path / "glab"
    program.write_text(f"#!/bin/sh\nprintf '{printed}'\n")
    program.chmod(0o755)
    found = forge_token(
        reference("https://lab.corp.example/a/b/-/issues/1"), {"PATH": f"{tmp_path}:/bin"}
    )
    assert found is None
    assert Forge.GITLAB.home == "gitlab.com"
