"""Defines the first line on the daemon's socket, in each direction. Standard library only.

The client sends one JSON line, the daemon answers with one, then MCP frames follow (JSON-RPC,
one message a line).

    -> {"rover": 1, "client_id": "<32 hex digits>", "version": "0.1.0", "cwd": "/repo",
        "name": "launcher" | "cli" | "http", "env": {...}, "terminal": true}
    <- {"rover": 1, "version": "0.1.0", "status": "ok", "notice": null}
    <- {"rover": 1, "version": "0.0.9", "status": "retiring"}   another version, idle: it ends
                                                              now, start another and try again
    <- {"rover": 1, "version": "0.1.0", "status": "refused", "reason": "...", "hint": "..."}

A client named "http" sends no MCP then, but a listening socket: see daemon/http_service.py.

`terminal` is the command line's: a person can be asked there.
`client_id` stays the same when a launcher connects again, so that the daemon recognises it.
"""

from __future__ import annotations

import os

# The launcher starts with every assistant: importing typing and pathlib would cost it 10 ms.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

PROTOCOL = 1
HTTP = "http"
CLI = "cli"
TOOLS = "ROVER_TOOLS"
"""The sets of tools that a client is offered, separated by commas; all if it is not set."""
ASKED = "--asked"
"""The daemon's option that says that its client has a question in the preamble."""
TOOL_SETS = ("read", "run", "admin")
MAX_PREAMBLE_BYTES = 256 * 1024

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_ENV_ALLOWED = frozenset(
    (
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"),
        *("CLAUDE_CODE_OAUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
        *("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
        # For `context`: the sign-in at a forge, and where gh and glab find theirs.
        *("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_HOST"),
        *("GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN", "GITLAB_HOST"),
        *("HOME", "XDG_CONFIG_HOME"),
        # For pushes and signatures: where the user's agents for keys listen.
        *("SSH_AUTH_SOCK", "GNUPGHOME", "GPG_TTY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
        # In whose name a merge is committed, where git's variables say so.
        *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
        TOOLS,
        "PATH",
        *_PROXIES,
        *(name.lower() for name in _PROXIES),
    )
)


def allowed_environment(environ: dict[str, str] | os._Environ[str]) -> dict[str, str]:  # pyright: ignore[reportPrivateUsage]
    """The part of `environ` that a client hands to the daemon, and no more: what providers,
    proxies and programs are found by."""
    return {k: v for k, v in environ.items() if k in _ENV_ALLOWED}


def data_folder_name(environ: dict[str, str] | os._Environ[str]) -> str:  # pyright: ignore[reportPrivateUsage]
    """The same as `data_folder`, as a string."""
    if home := environ.get("ROVER_HOME"):
        return os.path.abspath(os.path.expanduser(home))  # noqa: PTH100, PTH111
    base = environ.get("XDG_DATA_HOME") or "~/.local/share"
    return os.path.join(os.path.abspath(os.path.expanduser(base)), "rover")  # noqa: PTH100, PTH111, PTH118


def data_folder(environ: dict[str, str] | os._Environ[str]) -> Path:  # pyright: ignore[reportPrivateUsage]
    """The data folder: ROVER_HOME, else $XDG_DATA_HOME/rover, else ~/.local/share/rover."""
    from pathlib import Path

    return Path(data_folder_name(environ))


def unusable(home: str) -> str | None:
    """Why a folder of that name cannot be the data folder; None: it can. Git and engines separate
    folders in a list by colons, and git's files have a name to a line."""
    if ":" in home:
        return "its path has a colon, which separates paths for git"
    if not home.isprintable():
        return "its path has characters that cannot be printed"
    return None


def socket_name(home: str) -> str:
    """The same as `socket_path`, from and as a string."""
    path = os.path.join(home, "roverd.sock")  # noqa: PTH118
    if len(os.fsencode(path)) <= 100:
        return path
    import hashlib

    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return f"/tmp/rover-{os.getuid()}/{digest}.sock"  # noqa: S108


def socket_path(home: Path) -> Path:
    """The daemon's socket for a data folder.

    A unix socket's path holds 107 bytes on Linux; for a longer one a private folder under
    /tmp is used, named after the folder's hash.
    """
    from pathlib import Path

    return Path(socket_name(str(home)))
