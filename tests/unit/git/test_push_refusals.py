"""Why a remote refused: the kind, the words and the next step, from what real servers print."""

from __future__ import annotations

import pytest

from rover_mcp.domain.errors import Conflict, EnvironmentFault, RoverError, UserFixable
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.push_refusals import (
    SERVER_CHARACTERS,
    SERVER_LINES,
    RemoteRefusal,
    remote_failed,
    server_text,
    why_refused,
)
from rover_mcp.git.remote_address import RemoteAddress

ADDRESS = RemoteAddress("origin", "https://example.com/a.git")

PRINTED = {
    RemoteRefusal.SECRET: "remote: error: GH009: Secrets detected! This push failed.",
    RemoteRefusal.WORKFLOW_SCOPE: (
        "! [remote rejected] x -> x (refusing to allow an OAuth App to create or update workflow "
        "`.github/workflows/ci.yml` without `workflow` scope)"
    ),
    RemoteRefusal.LFS: "remote: error: GH008: Your push referenced unknown Git LFS objects",
    RemoteRefusal.TOO_LARGE: "remote: error: GH001: Large files detected.",
    RemoteRefusal.PROTECTED: "remote: error: GH006: Protected branch update failed for main.",
    RemoteRefusal.NO_FORCE: "remote: error: denying non-fast-forward refs/heads/x",
    RemoteRefusal.CHECKED_OUT: "remote: error: refusing to update checked out branch: x",
    RemoteRefusal.SHALLOW: "! [remote rejected] x -> x (shallow update not allowed)",
    RemoteRefusal.MOVED: "! [rejected] x -> x (stale info)",
    RemoteRefusal.CLASH: "remote: error: cannot lock ref 'refs/heads/x/y': 'refs/heads/x' exists",
    RemoteRefusal.OTHER_KEY: "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!",
    RemoteRefusal.HOST_KEY: "Host key verification failed.",
    RemoteRefusal.NO_CREDENTIALS: "fatal: could not read Username for 'https://example.com'",
    RemoteRefusal.NO_RIGHTS: "remote: Permission to a/b.git denied to c.",
    RemoteRefusal.MISSING: "remote: Repository not found.",
    RemoteRefusal.CERTIFICATE: "fatal: server certificate verification failed.",
    RemoteRefusal.UNREACHABLE: "fatal: unable to access: Could not resolve host: example.com",
    RemoteRefusal.HOOK: "! [remote rejected] x -> x (pre-receive hook declined)",
    RemoteRefusal.OTHER: "fatal: something else",
}
CONFLICTS = {
    RemoteRefusal.MOVED, RemoteRefusal.PROTECTED, RemoteRefusal.CLASH, RemoteRefusal.NO_FORCE,
}  # fmt: skip
OF_THE_MACHINE = {
    RemoteRefusal.UNREACHABLE, RemoteRefusal.NO_CREDENTIALS, RemoteRefusal.HOST_KEY,
    RemoteRefusal.OTHER_KEY, RemoteRefusal.CERTIFICATE, RemoteRefusal.OTHER,
}  # fmt: skip


def failed(stderr: str, stdout: str = "") -> GitResult:
    return GitResult(1, stdout.encode(), stderr)


def expected_class(kind: RemoteRefusal) -> type[RoverError]:
    if kind in OF_THE_MACHINE:
        return EnvironmentFault
    return Conflict if kind in CONFLICTS else UserFixable


@pytest.mark.parametrize("kind", RemoteRefusal)
def test_each_refusal_has_its_own_kind_and_a_next_step(kind: RemoteRefusal) -> None:
    result = failed(PRINTED[kind])
    assert why_refused(result) is kind
    error = remote_failed(result, ADDRESS)
    assert type(error) is expected_class(kind)
    assert error.code == kind
    assert error.hint
    assert error.message.startswith("origin (https://example.com/a.git): ")


def test_a_cause_counts_before_the_hook_that_every_server_names() -> None:
    result = failed(
        "remote: error: GH006: Protected branch update failed\n",
        "!\trefs/heads/x:refs/heads/x\t[remote rejected] (pre-receive hook declined)\n",
    )
    assert why_refused(result) is RemoteRefusal.PROTECTED


def test_what_a_server_says_is_quoted_and_obeyed_by_no_terminal() -> None:
    error = remote_failed(failed('remote: GH006: say "yes"\x1b[2J\nfatal: no'), ADDRESS)
    assert "it says (untrusted): \"GH006: say 'yes'?[2J\"" in error.message


def test_the_text_of_a_server_is_cut() -> None:
    text = server_text(failed("remote: line\n" * 100))
    assert text.splitlines() == ["line"] * SERVER_LINES
    assert len(server_text(failed(f"remote: {'x' * 5000}\n"))) == SERVER_CHARACTERS
    assert server_text(failed("remote:   \nfatal: no")) == ""


def test_without_words_of_the_server_the_rejected_ref_or_git_says_why() -> None:
    rejected = failed("error: failed to push some refs", "!\tx:x\t[rejected] (stale info)\n")
    assert remote_failed(rejected, ADDRESS).message.endswith("git says: [rejected] (stale info)")
    printed = failed("fatal: no such thing\nerror: failed to push some refs to 'x'\n")
    assert remote_failed(printed, ADDRESS).message.endswith("git says: no such thing")
