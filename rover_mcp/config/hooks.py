"""Hooks in `config.yaml`. Only the user's own file can name them, because a hook runs on the
host."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rover_mcp.domain.event_kinds import KINDS

SHORT: Final = {kind.removeprefix("task."): kind for kind in KINDS}
DEFAULT_EVENTS: Final = ("paused", "failed", "completed", "resume_failed", "window_warning")
MAX_HOOKS: Final = 10


class _Hook(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(default="", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$|^$")
    """by default its kind; two of one kind need names"""
    events: tuple[str, ...] = DEFAULT_EVENTS
    """which, without their `task.`: see docs/notifications.md"""

    @field_validator("events")
    @classmethod
    def _known(cls, events: tuple[str, ...]) -> tuple[str, ...]:
        for event in events:
            if event not in SHORT:
                raise ValueError(f"there is no event {event!r}; there are {', '.join(SHORT)}")
        return events

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of events that this hook receives."""
        return frozenset(SHORT[event] for event in self.events)


class DesktopHook(_Hook):
    """A notification on the desktop: notify-send, or osascript on macOS."""

    kind: Literal["desktop"]
    """desktop"""


class CommandHook(_Hook):
    """A program of the user's. It gets the message on its standard input."""

    kind: Literal["command"]
    """command"""
    run: tuple[str, ...] = Field(min_length=1)
    """the program and its arguments, as a list: no shell reads it"""


class WebhookHook(_Hook):
    """A POST of the message, signed as Standard Webhooks says."""

    kind: Literal["webhook"]
    """webhook"""
    url: str = Field(max_length=2000, repr=False)
    """https; http to this machine only, unless `allow_http`"""
    secret_file: str | None = None
    """a file that holds the secret alone: 24 bytes or more, as they are or as `whsec_<base64>`"""
    secret_env: str | None = None
    """a variable of the daemon's environment that holds it"""
    unsigned: bool = False
    """true: no secret and no signature"""
    allow_http: bool = False
    """true: whoever is on the way may read what is sent"""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        given = (self.secret_file, self.secret_env, self.unsigned or None)
        if sum(source is not None for source in given) != 1:
            raise ValueError("give exactly one of secret_file, secret_env, unsigned: true")
        if wrong := wrong_url(self.url, allow_http=self.allow_http):
            raise ValueError(f"url: {wrong}")
        return self


Hook = Annotated[DesktopHook | WebhookHook | CommandHook, Field(discriminator="kind")]


class HookRetry(BaseModel):
    """How often a delivery is tried. Times are in seconds, and each wait is five times the one
    before."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tries: int = Field(default=8, ge=1, le=20)
    """then it is dead: `rover hooks dead`. By default that is after about 17 hours"""
    first: float = Field(default=5, gt=0)
    """after the first try"""
    most: float = Field(default=12 * 3600, gt=0)
    """the longest wait"""
    jitter: float = Field(default=0.1, ge=0, le=1)
    """share of a wait that is added at random"""


def named(hooks: tuple[Any, ...]) -> tuple[Any, ...]:
    """The hooks, each with its name.

    Raises:
        ValueError: two have the same, or there are too many.
    """
    if len(hooks) > MAX_HOOKS:
        raise ValueError(f"at most {MAX_HOOKS} hooks")
    complete = tuple(h if h.name else h.model_copy(update={"name": h.kind}) for h in hooks)
    names = [hook.name for hook in complete]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise ValueError(f"two hooks are named {twice}: give each a `name`")
    return complete


def wrong_url(url: str, *, allow_http: bool) -> str | None:
    """What is wrong with a webhook's address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "invalid address"
    if parts.scheme not in ("http", "https") or not host:
        return "give one that begins with https://"
    if parts.username is not None or parts.fragment or not url.isprintable() or " " in url:
        return "no user, password, fragment or space may stand in it"
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        return "http leaves this machine unencrypted: use https, or set allow_http"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host in an address is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
