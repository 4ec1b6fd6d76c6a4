"""Why a remote refused, from what git and the server printed; the server's words are untrusted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from agent_runner.printable import only_printable
from rover_mcp.domain.errors import Conflict, EnvironmentFault, RoverError, UserFixable
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.remote_address import RemoteAddress

SERVER_LINES = 12
SERVER_CHARACTERS = 800


class RemoteRefusal(StrEnum):
    """Why a push, or a look at a remote, failed; the values are error codes."""

    PROTECTED = "protected_branch"
    """rules of the server's keep the branch as it is"""
    WORKFLOW_SCOPE = "workflow_scope"
    """the sign-in may not change CI workflows"""
    SECRET = "server_saw_secret"  # noqa: S105
    """the server looks for secrets, and saw one"""
    TOO_LARGE = "too_large"
    LFS = "lfs_missing"
    """objects of git-lfs were not uploaded"""
    MOVED = "remote_moved"
    """the branch is not where it was looked at"""
    NO_FORCE = "no_force"
    """the server takes nothing but fast-forwards"""
    CHECKED_OUT = "remote_checked_out"
    """the remote has a work tree with that branch"""
    SHALLOW = "shallow_refused"
    CLASH = "remote_branch_clash"
    """a branch of another name is in the way"""
    NO_RIGHTS = "no_rights"
    NO_CREDENTIALS = "no_credentials"
    HOST_KEY = "unknown_host_key"
    OTHER_KEY = "changed_host_key"
    """the server shows another key than the one that ssh knows it by"""
    CERTIFICATE = "untrusted_certificate"
    MISSING = "remote_missing"
    """the repository does not exist, or the user may not see it"""
    UNREACHABLE = "remote_unreachable"
    HOOK = "remote_hook"
    """a hook of the server's refused"""
    OTHER = "push_failed"


R = RemoteRefusal


# The order counts: servers end almost every refusal with "pre-receive hook declined", and GitHub
# answers 403 both for missing rights and for a missing scope.
_SIGNS: Sequence[tuple[RemoteRefusal, str]] = (
    (R.SECRET, r"push cannot contain secrets|GH009:|push protection|secret detection"),
    (R.WORKFLOW_SCOPE, r"refusing to allow .{1,60} to create or update workflow"),
    (R.LFS, r"GH008:|unknown Git LFS object|LFS objects are missing"),
    (R.TOO_LARGE, r"GH001:|exceeds GitHub's file size limit|file size limit|too large|"
                        r"exceeds the maximum|pack exceeds|HTTP 413|error: 413"),
    (R.PROTECTED, r"GH006:|GH013:|protected branch|Protected branch|rule violations|"
                        r"TF402455|can only be modified through pull requests|"
                        r"not allowed to (?:force )?push code to (?:a )?protected"),
    (R.NO_FORCE, r"denying non-fast-forward|non-fast-forward updates? \w+ not allowed"),
    (R.CHECKED_OUT, r"branch is currently checked out|refusing to update checked out branch"),
    (R.SHALLOW, r"shallow update not allowed"),
    (R.MOVED, r"\(stale info\)|\(fetch first\)|\(non-fast-forward\)|remote ref updated since|"
                    r"but expected [0-9a-f]{40}|\(failed to update ref\)|incorrect old value"),
    (R.CLASH, r"cannot lock ref .{1,500}exists|directory file conflict|refname conflict"),
    (R.OTHER_KEY, r"REMOTE HOST IDENTIFICATION HAS CHANGED"),
    (R.HOST_KEY, r"Host key verification failed"),
    (R.NO_CREDENTIALS, r"could not read (?:Username|Password)|terminal prompts disabled|"
                             r"Authentication failed|Permission denied \(|Invalid username or|"
                             r"HTTP Basic: Access denied|returned error: 401|"
                             r"Too many authentication failures|Support for password"),
    (R.NO_RIGHTS, r"returned error: 403|Permission to \S{1,300} denied|marked as read only|"
                        r"not allowed to (?:push|upload)|denied to deploy key|insufficient perm|"
                        r"Write access to repository not granted|read-only|"
                        r"insufficient permission for adding an object"),
    (R.MISSING, r"[Rr]epository .{0,300}not found|does not appear to be a git repository|"
                      r"could not be found or you don't have|returned error: 404|"
                      r"No such file or directory|does not exist"),
    (R.CERTIFICATE, r"certificate"),
    (R.UNREACHABLE, r"[Cc]ould not resolve host|Failed to connect|Could ?n[o']t connect|"
                          r"Connection (?:refused|timed out|reset|closed)|[Nn]etwork is unreach|"
                          r"No route to host|Operation timed out|Temporary failure in name|"
                          r"returned error: 5\d\d|SSL connection|"
                          r"unable to (?:look up|connect)|hung up unexpectedly|Empty reply"),
    (R.HOOK, r"hook declined|\(hook|declined"),
)  # fmt: skip
_COMPILED = [(why, re.compile(pattern, re.IGNORECASE)) for why, pattern in _SIGNS]

_WORDS: Mapping[RemoteRefusal, tuple[str, str]] = {
    R.PROTECTED: (
        "the branch is protected there",
        "push to another branch (name it as branch) and open a request from it; or ask whoever "
        "may change the rule",
    ),
    R.WORKFLOW_SCOPE: (
        "the sign-in may not change CI workflows",
        "sign in with one that may (for gh: gh auth refresh --scopes workflow), or push over ssh",
    ),
    R.SECRET: (
        "the server found what looks like a secret",
        "remove it from the branch's history (a new commit is not enough), then call again",
    ),
    R.TOO_LARGE: (
        "something in it is too large for the server",
        "remove it from the branch's history, or keep it with git-lfs",
    ),
    R.LFS: (
        "objects of git-lfs are missing on the server",
        "push with git, whose git-lfs uploads them: git push; then call push_task again, which "
        "records it",
    ),
    R.MOVED: (
        "the branch has changed there since it was looked at",
        "nothing was pushed; call again to see what a push would do now",
    ),
    R.NO_FORCE: (
        "the server takes no commits in place of others",
        "push to another branch: name it as branch",
    ),
    R.CHECKED_OUT: (
        "that repository has the branch checked out",
        "push to another branch (name it as branch), or to a bare repository",
    ),
    R.SHALLOW: (
        "your clone is shallow, and the server lacks what is before it",
        "fetch the rest: git fetch --unshallow; then call again",
    ),
    R.CLASH: (
        "a branch of another name is in the way there",
        "push to another branch: name it as branch",
    ),
    R.NO_RIGHTS: (
        "you may not push there",
        "push to a fork of yours (name its remote as remote), or ask for the right to push",
    ),
    R.NO_CREDENTIALS: (
        "git has no sign-in for it, or one that is refused",
        "sign in as for git itself: over ssh a key in an ssh-agent that this client knows, over "
        "https a credential helper in your own git configuration (for example gh auth setup-git) "
        "or GH_TOKEN or GITLAB_TOKEN. Rover does not ask for passwords, and reads no credentials "
        "from the repository's configuration",
    ),
    R.HOST_KEY: (
        "ssh does not know the server's key",
        "connect once by hand and compare the key with the one that the server's owner publishes",
    ),
    R.OTHER_KEY: (
        "ssh knows the server by another key, so this may be another machine",
        "nothing was sent. Compare its key with the one that the server's owner publishes; only if "
        "they changed it, remove the old one (ssh-keygen -R <host>), connect once by hand, and "
        "call again",
    ),
    R.CERTIFICATE: (
        "its certificate is not one that git trusts",
        "have your own git trust the authority that signed it: git config --global "
        "http.<address>.sslCAInfo <file>",
    ),
    R.MISSING: (
        "the repository does not exist, or you may not see it",
        "correct the remote: git remote set-url; or sign in as somebody who may see it",
    ),
    R.UNREACHABLE: (
        "it cannot be reached",
        "see that its address is right and the network is up, then call again",
    ),
    R.HOOK: (
        "a hook of the server refused it",
        "do what the server says, then call again",
    ),
    R.OTHER: ("git failed", "try it with git itself, to see more of what it says"),
}
_OF_THE_MACHINE = (
    R.UNREACHABLE, R.NO_CREDENTIALS, R.HOST_KEY, R.OTHER_KEY, R.CERTIFICATE,
    R.OTHER,
)  # fmt: skip


def why_refused(result: GitResult) -> RemoteRefusal:
    """What kind of refusal it is."""
    text = f"{result.stderr}\n{result.text}"
    return next((why for why, pattern in _COMPILED if pattern.search(text)), R.OTHER)


def server_text(result: GitResult) -> str:
    """What the server itself printed, as lines that no terminal obeys; untrusted."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("remote:")]
    shown = (only_printable(line.removeprefix("remote:")).strip() for line in lines)
    return "\n".join([line for line in shown if line][:SERVER_LINES])[:SERVER_CHARACTERS]


def remote_failed(result: GitResult, address: RemoteAddress) -> RoverError:
    """The error for a git that failed, with what to do. `detail` of the message is quoted: it is
    the server's."""
    why = why_refused(result)
    what, hint = _WORDS[why]
    server = " ".join(server_text(result).split())
    detail = f'it says (untrusted): "{server.replace(chr(34), chr(39))}"' if server else (
        f"git says: {_reason(result)}"
    )  # fmt: skip
    message = f"{address.name} ({address.url}): {what}; {detail}"
    if why in _OF_THE_MACHINE:
        return EnvironmentFault(message, hint=hint, code=why)
    if why in (
        R.MOVED,
        R.PROTECTED,
        R.CLASH,
        R.NO_FORCE,
    ):
        return Conflict(message, hint=hint, code=why)
    return UserFixable(message, hint=hint, code=why)


def _reason(result: GitResult) -> str:
    """The line that names the cause: the last one of a push only says that some refs failed."""
    rejected = [line for line in result.text.splitlines() if line.startswith("!")]
    if rejected:
        return only_printable(rejected[0].rpartition("\t")[2])[:300]
    lines = [line for line in result.stderr.splitlines() if "failed to push some refs" not in line]
    return GitResult(result.code, b"", "\n".join(lines)).reason
