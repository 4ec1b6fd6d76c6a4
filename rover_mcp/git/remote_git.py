"""A git that talks with a remote in the user's name: with the user's own configuration, agents and
credential helpers, and with nothing of the repository's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.branch_merge import contains, has_object
from rover_mcp.git.git_process import STALLED, GitResult, run_git
from rover_mcp.git.push_refusals import RemoteRefusal, remote_failed, why_refused
from rover_mcp.git.remote_address import ALLOWED, Entries, RemoteAddress
from rover_mcp.git.repository_view import RepositoryView

NAME = "rover"
"""What git calls the remote, in a configuration that lasts as long as the command."""
LOOK_SECONDS = 60.0
"""For what only asks a remote. A push may take as long as it gets on."""
COMMITS_NAMED = 5
_HANDED_ON = (
    "HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK",
    "GNUPGHOME", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "USER",
    "LOGNAME", *(name for p in ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
                 for name in (p, p.upper())),
)  # fmt: skip
# The helper is a constant: what it prints comes from the environment, which no other user can read.
_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" '
    '"$ROVER_REMOTE_USER" "$ROVER_REMOTE_PASSWORD"; }; f'
)


@dataclass(frozen=True)
class Token:
    """A sign-in for the remote's host that is tried where the user's own helpers have none."""

    user: str
    password: str


@dataclass(frozen=True)
class RemoteState:
    """What a remote has: `there` is the commit of the branch, `default` its default branch."""

    there: str | None
    default: str | None


@dataclass(frozen=True)
class RemoteCommit:
    """A commit of the remote's branch; author and subject are untrusted."""

    name: str
    author: str
    subject: str


@dataclass(frozen=True)
class RemoteGit:
    """Git for one repository and one remote of it. `environ` is that of the program that asked:
    where it says nothing the daemon's counts."""

    view: RepositoryView
    address: RemoteAddress
    own: Entries
    environ: Mapping[str, str]
    token: Token | None = None

    def read_state(self, branch: str) -> RemoteState:
        """What the remote has of a branch.

        Raises:
            EnvironmentFault, UserFixable: it cannot be asked, and why; see push_refusals.
        """
        ref = f"refs/heads/{branch}"
        looked = self._run(["ls-remote", "--symref", NAME, "HEAD", ref], timeout=LOOK_SECONDS)
        if looked.code != 0:
            raise remote_failed(looked, self.address)
        there, default = None, None
        for line in looked.text.splitlines():
            what, _, name = line.partition("\t")
            if name == ref:
                there = what
            elif name == "HEAD" and what.startswith("ref: refs/heads/"):
                default = what.removeprefix("ref: refs/heads/")
        return RemoteState(there, default)

    def push(self, commit: str, branch: str, expected: str | None, lock: int) -> GitResult:
        """Push a commit to a branch. With `expected` the branch may lose commits, but only if it is
        at that one. Git holds the file `lock` open as long as it runs.

        Raises:
            EnvironmentFault, UserFixable: it was refused, and why; see push_refusals.
        """
        ref = f"refs/heads/{branch}"
        argv = ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed"]
        argv += ["--recurse-submodules=no"]
        # Never without a value: a bare lease trusts whatever was fetched last, by whomever.
        argv += [f"--force-with-lease={ref}:{expected}"] if expected else []
        pushed = self._run([*argv, NAME, f"{commit}:{ref}"], stdin=lock)
        if pushed.code != 0:
            raise remote_failed(pushed, self.address)
        return pushed

    def beyond(self, there: str, ours: Sequence[str]) -> tuple[int, Sequence[RemoteCommit]]:
        """How many commits the remote's branch has at `there` that none of `ours` has, and the
        newest of them. They are fetched into a repository that is thrown away.

        Raises:
            EnvironmentFault, UserFixable: they cannot be obtained; see push_refusals.
        """
        ours = [commit for commit in ours if has_object(self.view, commit)]
        if has_object(self.view, there):
            return _listed(self.view.folder, there, ours)
        with _scratch(self.view, ours) as folder:
            argv = ["fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-auto-gc",
                    "--refmap=", "--no-recurse-submodules", NAME, there]  # fmt: skip
            fetched = self._run(argv, folder=folder, timeout=LOOK_SECONDS)
            if fetched.code != 0:
                raise remote_failed(fetched, self.address)
            return _listed(folder, there, ours)

    def has(self, there: str, commit: str) -> bool:
        """Whether the remote's commit `there` has `commit` in its history; as `beyond`."""
        if has_object(self.view, there):
            return contains(self.view, there, commit)
        with _scratch(self.view, [commit]) as folder:
            fetched = self._run(
                ["fetch", "-q", "--no-tags", "--no-write-fetch-head", "--refmap=", NAME, there],
                folder=folder, timeout=LOOK_SECONDS,
            )  # fmt: skip
            if fetched.code != 0:
                raise remote_failed(fetched, self.address)
            return run_git(["merge-base", "--is-ancestor", commit, there], folder).code == 0

    def _run(
        self,
        argv: Sequence[str],
        *,
        folder: Path | None = None,
        stdin: int | None = None,
        timeout: float | None = None,
    ) -> GitResult:
        """Run git with the user's own helpers, and again with the token where these had nothing.
        Never with both: git hands what has worked to every helper, and one of them may write it
        to a file."""
        at = folder or self.view.folder
        done = self._once(argv, at, None, stdin, timeout)
        if self.token and done.code != 0 and why_refused(done) is RemoteRefusal.NO_CREDENTIALS:
            done = self._once(argv, at, self.token, stdin, timeout)
        return done

    def _once(
        self,
        argv: Sequence[str],
        folder: Path,
        token: Token | None,
        stdin: int | None,
        timeout: float | None,
    ) -> GitResult:
        # Rover's own setting would outrank the user's helpers: it stands on the command line.
        without, environment = ("credential.helper",), self._environment(token)
        try:
            return run_git(
                argv, folder, without=without, extra_env=environment, stdin=stdin, timeout=timeout
            )
        except EnvironmentFault as fault:
            if fault.code != STALLED:
                raise
            silent = GitResult(1, b"", "Connection timed out")
            raise remote_failed(silent, self.address) from fault

    def _environment(self, token: Token | None) -> dict[str, str | None]:
        kept = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        kept |= {n: self.environ[n] for n in _HANDED_ON if n in self.environ and n != "HOME"}
        # Helpers such as gh may be on the user's path only.
        path = [*os.environ.get("PATH", os.defpath).split(os.pathsep)]
        path += self.environ.get("PATH", "").split(os.pathsep)
        kept["PATH"] = os.pathsep.join(dict.fromkeys(p for p in path if Path(p).is_absolute()))
        entries = [*self.own, (f"remote.{NAME}.url", self.address.url), *self._sign_in(token)]
        entries = [pair for pair in entries if not pair[0].startswith("url.")]
        user, password = self._secrets(token)
        return {
            **kept,
            "GIT_ALLOW_PROTOCOL": ALLOWED,
            "ROVER_REMOTE_USER": user,
            "ROVER_REMOTE_PASSWORD": password,
            "GIT_CONFIG_COUNT": str(len(entries)),
            **{f"GIT_CONFIG_KEY_{n}": key for n, (key, _) in enumerate(entries)},
            **{f"GIT_CONFIG_VALUE_{n}": value for n, (_, value) in enumerate(entries)},
        }

    def _secrets(self, token: Token | None) -> tuple[str | None, str | None]:
        if token is not None:
            return token.user, token.password
        if self.address.password is not None:
            return self.address.user or "", self.address.password
        return None, None

    def _sign_in(self, token: Token | None) -> list[tuple[str, str]]:
        """Settings by which git gets what stood in the address, or the token."""
        section = f"credential.{self.address.scheme}://{self.address.authority}"
        entries: list[tuple[str, str]] = []
        if token is None and self.address.user:
            entries.append((f"{section}.username", self.address.user))
        if token is not None or self.address.password is not None:
            # The empty one forgets the helpers before it.
            entries += [(f"{section}.helper", ""), (f"{section}.helper", _HELPER)]
        return entries


@contextmanager
def _scratch(view: RepositoryView, have: Sequence[str]) -> Generator[Path]:
    """An empty repository that borrows the objects of the user's. `have` are the commits that it
    has, as far as a remote is concerned."""
    with tempfile.TemporaryDirectory(prefix="rover-remote-") as name:
        folder = Path(name)
        (folder / "objects/info").mkdir(parents=True)
        (folder / "refs/rover").mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/main\n")
        (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        lent = view.place.common / "objects"
        (folder / "objects/info/alternates").write_bytes(os.fsencode(f"{lent}\n"))
        for number, commit in enumerate(have):
            (folder / f"refs/rover/{number}").write_text(f"{commit}\n")
        yield folder


def _listed(folder: Path, there: str, ours: Sequence[str]) -> tuple[int, Sequence[RemoteCommit]]:
    only = [there, *(f"^{commit}" for commit in ours)]
    counted = run_git(["rev-list", "--count", *only], folder)
    argv = ["log", f"-{COMMITS_NAMED}", "-z", "--format=%h%x1f%an%x1f%s", *only]
    fields = (entry.split("\x1f", 2) for entry in run_git(argv, folder).text.split("\0") if entry)
    commits = [RemoteCommit(*parts) for parts in fields if len(parts) == 3]
    return int(counted.text) if counted.text.isdecimal() else len(commits), commits
