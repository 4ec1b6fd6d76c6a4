"""Reads the logins of subscriptions that agents' programs keep on this host, for the gateway.

The file is read at each use, so that a renewed login is used at once. Nothing is written and
nothing is renewed here: a refresh token is good for one use, and using it would log its owner out.
Where each file is and what it holds was observed with the versions in pinned_agents.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.utc_time import utc_minute

SOON_SECONDS: Final = 24 * 3600.0
MAX_FILE_BYTES: Final = 1_000_000
_CLAIMS = "https://api.openai.com/auth"


@dataclass(frozen=True)
class Login:
    """The parts of a login that go to the provider. `expires` is in seconds since 1970, None if
    it is not known; `account` identifies the account, and is not a secret."""

    token: str = field(repr=False)
    account: str
    expires: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """sent beside the token"""
    renewable_until: float | None = None
    """until when its program can renew it, in seconds since 1970: 0 if it holds nothing to renew it
    with, None if no end is known"""


@dataclass(frozen=True)
class HostLogin:
    """Where one program keeps its login. `base_url`: where its provider accepts it, if not at the
    provider's own address; `sign_in`: what a person runs."""

    agent: str
    provider: str
    variable: str
    folder: str
    name: str
    sign_in: str
    read: Callable[[Mapping[str, Any]], Login | None]
    base_url: str | None = None
    lasts: str | None = None
    """what a person does for a credential that lasts longer"""

    def file(self, environ: Mapping[str, str]) -> Path:
        """The file of the login."""
        return Path(environ.get(self.variable) or self.folder).expanduser() / self.name

    def place(self, environ: Mapping[str, str]) -> Path | None:
        """The file of the login; None if the user has no home."""
        try:
            return self.file(environ)
        except RuntimeError:
            return None


def _codex(content: Mapping[str, Any]) -> Login | None:
    """Read ~/.codex/auth.json: tokens of ChatGPT. The account has a header of its own."""
    # The file holds OPENAI_API_KEY instead of `tokens` for a user who signed in with a key.
    tokens = _object(content.get("tokens"))
    token = _text(tokens.get("access_token"))
    claims = _object(_jwt(token).get(_CLAIMS))
    account = _text(tokens.get("account_id")) or _text(claims.get("chatgpt_account_id"))
    if not token:
        return None
    headers = (("chatgpt-account-id", account),) if account else ()
    renewable = _renewable(tokens.get("refresh_token"))
    return Login(token, account, _seconds(_jwt(token).get("exp")), headers, renewable)


def _claude(content: Mapping[str, Any]) -> Login | None:
    """Read ~/.claude/.credentials.json: times are in milliseconds. It names no account."""
    fields = _object(content.get("claudeAiOauth"))
    token = _text(fields.get("accessToken"))
    expires = _milliseconds(fields.get("expiresAt"))
    ends = _milliseconds(fields.get("refreshTokenExpiresAt"))
    renewable = _renewable(fields.get("refreshToken"), ends)
    return Login(token, "", expires, renewable_until=renewable) if token else None


LOGINS: Mapping[str, HostLogin] = MappingProxyType(
    {
        "codex": HostLogin(
            agent="codex",
            provider="openai",
            variable="CODEX_HOME",
            folder="~/.codex",
            name="auth.json",
            sign_in="codex login",
            read=_codex,
            # A subscription's token is refused at api.openai.com, which takes keys alone.
            base_url="https://chatgpt.com/backend-api/codex",
        ),
        "claude": HostLogin(
            agent="claude",
            provider="anthropic",
            variable="CLAUDE_CONFIG_DIR",
            folder="~/.claude",
            name=".credentials.json",
            sign_in="claude /login",
            lasts="keep the token of `claude setup-token` with `rover login anthropic`",
            read=_claude,
        ),
    }
)

_UNUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"gemini": ("GEMINI_CLI_HOME", ".gemini"), "qwen": ("", ".qwen")}
)
"""Agents whose logins belong to an API that the gateway does not serve: the variable that moves
the home in which they are, and their folder in it."""


def held(kind: str, environ: Mapping[str, str], now: float) -> Login:
    """The login that the file has now. `now` is in seconds since 1970.

    Raises:
        EnvironmentFault: "no_log_in": there is none, or it has expired.
    """
    known = LOGINS[kind]
    login, why = _read(known, environ)
    if login is None:
        message = f"Rover has no login of {kind}: {_place(known, environ)}: {why}"
        raise _fault(message, f"run `{known.sign_in}` on this machine, then resume the task")
    if login.expires is not None and login.expires <= now:
        message = f"the login of {kind} in {_place(known, environ)} has expired"
        raise _fault(message, f"run `{kind}` once on this machine, which renews it, then resume")
    return login


def expiry(kind: str, environ: Mapping[str, str]) -> float | None:
    """When a login expires or has expired, in seconds since 1970; None: there is none, or its end
    is not known."""
    login = kept(kind, environ)
    return login.expires if login else None


def kept(kind: str, environ: Mapping[str, str]) -> Login | None:
    """The login that the file has now, expired or not; None: there is none."""
    return _read(LOGINS[kind], environ)[0]


def _read(known: HostLogin, environ: Mapping[str, str]) -> tuple[Login | None, str]:
    """The login, or why there is none."""
    try:
        login = known.read(_object(json.loads(_content(known.file(environ)))))
    except (OSError, RuntimeError, ValueError, RecursionError) as error:
        # RuntimeError: no such user's home.
        return None, getattr(error, "strerror", None) or "it cannot be read"
    return login, "it holds no subscription login"


def why_not(kind: str, environ: Mapping[str, str], now: float) -> str | None:
    """Why no login can be used, and what to do about it; None: one can."""
    try:
        held(kind, environ, now)
    except EnvironmentFault as fault:
        return f"{fault.message}; {fault.hint}"
    return None


def until(kind: str, environ: Mapping[str, str], now: float) -> str | None:
    """A phrase about the end of a login, empty while that is far away. None: no login can be
    used."""
    try:
        expires = held(kind, environ, now).expires
    except EnvironmentFault:
        return None
    if expires is None or expires - now > SOON_SECONDS:
        return ""
    return f", expires at {utc_minute(expires)}"


def lasting(kind: str) -> str:
    """What a person can do about a login that will expire while they are away."""
    known = LOGINS[kind]
    renew = f"run `{kind}` once on this machine after that"
    return f"{renew}, or {known.lasts}" if known.lasts else renew


def unused(agent: str, environ: Mapping[str, str]) -> str | None:
    """Why a login on this machine cannot be used by its agent's tasks; None: there is none."""
    variable, folder = _UNUSED.get(agent, ("", ""))
    home = Path(environ.get(variable) or environ.get("HOME") or "/")
    path = home / folder / "oauth_creds.json"
    if not folder or not path.is_file():
        return None
    return (
        f"the login of {agent} on this machine ({path}) cannot be used: it is for an API of its "
        "own, which the gateway does not serve; a key is needed"
    )


def is_there(kind: str, environ: Mapping[str, str], now: float) -> bool:
    """Whether there is a login that the gateway could use."""
    return why_not(kind, environ, now) is None


def label(kind: str, login: Login) -> str:
    """The account's name for people and for holds: the same after each renewal."""
    provider = LOGINS[kind].provider
    if not login.account:
        return f"{provider}-{kind}-log-in"
    return f"{provider}-{hashlib.sha256(login.account.encode()).hexdigest()[:8]}"


def _fault(message: str, hint: str) -> EnvironmentFault:
    return EnvironmentFault(message, hint=hint, code="no_log_in")


def _place(known: HostLogin, environ: Mapping[str, str]) -> str:
    return str(known.place(environ) or f"{known.folder}/{known.name}")


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def _jwt(token: str) -> Mapping[str, Any]:
    """The claims of a JSON web token, unverified; empty if it is something else."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        # JWTs leave out the padding (RFC 7515, section 2), which Python insists on.
        return _object(json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))))
    except (binascii.Error, ValueError, RecursionError):
        return {}


def _object(value: object) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """A string that can be the value of a header, or else an empty one."""
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else ""


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _milliseconds(value: object) -> float | None:
    seconds = _seconds(value)
    return seconds / 1000 if seconds else None


def _renewable(token: object, ends: float | None = None) -> float | None:
    """See Login.renewable_until."""
    return ends if isinstance(token, str) and token else 0.0
