"""Names of branches, as git reads them and as we do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rover_mcp.domain.ids import branch_name
from rover_mcp.git.repository import is_branch_name
from tests.integration.git.conftest import git

PIECES = [
    "main", "HEAD", "refs/heads/main", "heads/", "origin/", "v1", "-", "--", "--upload-pack=x", "-c",
    "..", "../", "/", "//", ".", ".git", ".lock", "@", "@{", "@{-1}", "@{u}", "@{1}", "^", "^0", "^{}",
    "^{/first}", "^!", "~", "~1", ":", ":/", ":0:", "*", "?", "[", "\\", " ", "\t", "\n", "\r", "\0",
    "\x7f", "{", "}", "$(id)", "`id`", "ext::sh -c", "\u202e", "\ufeff", "é", "\ud800", "\udcff", "0" * 40,
]  # fmt: skip
NAMES = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
    st.text(min_size=1, max_size=12),
)


def asked(repo: Path, *argv: str, lines: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *argv], cwd=repo, input=lines, capture_output=True, check=False, timeout=300
    )


@pytest.mark.known_escape(14)
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(NAMES, min_size=40, max_size=100))
@example([piece + other for piece in PIECES for other in ("", *PIECES)])
def test_a_name_that_is_taken_is_one_to_git_and_leads_nowhere_else(
    repo: Path, names: list[str]
) -> None:
    """Row 14: thousands of names of pieces that git, or a shell, reads as something else. Until now
    a lone surrogate ended in an exception."""
    given = [n for text in names for n in (text, branch_name(7, text, frozenset()))]
    taken = [name for name in given if is_branch_name(name)]
    assert all(is_branch_name(name) for name in given[1::2])
    assert not [n for n in taken if n.startswith("-") or set(n) & set("\n\r\0")]
    commit = git(repo, "rev-parse", "HEAD")
    wanted = b"".join(
        b"create refs/heads/%s\0%s\0" % (os.fsencode(n), commit.encode()) for n in taken
    )
    made = asked(repo, "update-ref", "--stdin", "-z", lines=b"start\0%sabort\0" % wanted)
    assert made.returncode == 0, made.stderr
    lines = b"".join(b"refs/heads/%s^{commit}\n" % os.fsencode(n) for n in taken)
    found = asked(repo, "cat-file", "--batch-check", lines=lines).stdout.splitlines()
    assert len(found) == len(taken)
    leads = {n for n, line in zip(taken, found, strict=True) if not line.endswith(b" missing")}
    assert leads <= {"main"}, leads
