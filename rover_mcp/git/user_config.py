"""The user's own git configuration: the system's file, the user's, and what these include.

A repository's configuration is untrusted and is not read here. The user's own is trusted, as git
itself trusts it; git only prints it, and starts nothing for it. What it includes under a condition
(`includeIf`) counts where it is asked for a repository, as for the address of a person at work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.git.git_process import run_git

_OWN_SCOPES = ("system", "global")
_NETWORK = r"^(credential\.|http\.|url\.|ssh\.|core\.(sshcommand|gitproxy)$|remote\.pushdefault$)"
_MAX_REMOTES = 20
_HANDED_ON = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")


@dataclass(frozen=True)
class IncludeConditions:
    """The repository that conditional includes are for: its folder and branch (`git_dir`), and its
    `remotes`. Git finds `stand_in` where the repository's own configuration would be."""

    git_dir: Path
    stand_in: Path
    remotes: tuple[str, ...] = ()

    def environment(self) -> Mapping[str, str]:
        """The variables by which git learns of it. An address may hold a password, so that none
        is an argument, which every user of the machine could see."""
        remotes = self.remotes[:_MAX_REMOTES]
        configured = {f"GIT_CONFIG_KEY_{n}": f"remote.r{n}.url" for n in range(len(remotes))}
        configured |= {f"GIT_CONFIG_VALUE_{n}": url for n, url in enumerate(remotes)}
        return {
            "GIT_DIR": str(self.git_dir),
            "GIT_COMMON_DIR": str(self.stand_in),
            "GIT_CONFIG_COUNT": str(len(remotes)),
            **configured,
        }


def user_values(key: str, of: IncludeConditions | None = None) -> list[str]:
    """The values of a key that is a path, in the order of the files; empty where none is set."""
    return _of_own_files(["--type=path", "-z", "--get-all", key], of)


def own_entries(pattern: str, of: IncludeConditions) -> list[tuple[str, str]]:
    """The keys that match in the user's own files, with their values, in the order of the files."""
    entries = _of_own_files(["-z", "--get-regexp", pattern], of)
    pairs = (entry.partition("\n") for entry in entries)
    return [(key, value) for key, _, value in pairs]


def network_entries(of: IncludeConditions) -> list[tuple[str, str]]:
    """Key and value of all that the user's own files say of how git reaches a remote: proxies,
    certificates, headers, rewritten addresses, credential helpers, the ssh program."""
    entries = _of_own_files(["-z", "--get-regexp", _NETWORK], of)
    pairs = (entry.partition("\n") for entry in entries)
    # A key without "=" means true; as an empty text it would mean false, and http.sslVerify
    # would be switched off by it.
    return [(key, value if newline else "true") for key, newline, value in pairs]


def _of_own_files(argv: Sequence[str], of: IncludeConditions | None) -> list[str]:
    environment = {
        **{name: os.environ.get(name) for name in _HANDED_ON},
        "GIT_CONFIG_NOSYSTEM": os.environ.get("GIT_CONFIG_NOSYSTEM"),
        # Without a repository git reads no other file.
        **(of.environment() if of else {"GIT_DIR": "/nonexistent"}),
    }
    listed = run_git(
        ["config", "--show-scope", "--includes", *argv], Path("/"), extra_env=environment
    )
    fields = [os.fsdecode(field) for field in listed.stdout.split(b"\0")[:-1]]
    pairs = zip(fields[::2], fields[1::2], strict=False)
    return [value for scope, value in pairs if scope in _OWN_SCOPES]


def is_safe_directory(folder: Path) -> bool:
    """Whether the user's safe.directory names the folder, by the rules of git-config(1): an empty
    value forgets those before it, `*` stands for any, and `/*` at the end for all below."""
    safe = False
    for value in user_values("safe.directory"):
        if not value:
            safe = False
        elif value == "*" or Path(value) == folder:
            safe = True
        elif value.endswith("/*"):
            safe = safe or folder.is_relative_to(value.removesuffix("*"))
    return safe
