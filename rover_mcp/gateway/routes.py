"""Which request may pass, where to, and with which headers. Pure; no I/O.

The Anthropic API's paths and headers: https://docs.claude.com/en/api/overview.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

Headers = Sequence[tuple[bytes, bytes]]

_ALLOWED_PATHS = (
    ("POST", re.compile(r"/v1/messages(/count_tokens)?")),
    ("GET", re.compile(r"/v1/models(/[A-Za-z0-9][A-Za-z0-9._:@-]*)?")),
)
# A list of what passes, not of what does not: the agent's token is in none of these.
_REQUEST_HEADERS = re.compile(
    r"anthropic-.*|x-stainless-.*|x-app|x-claude-.*|user-agent|accept|content-type|content-length"
)
_DROPPED_ANSWER_HEADERS = re.compile(
    r"connection|keep-alive|transfer-encoding|te|trailer|upgrade|proxy-.*|set-cookie|alt-svc"
    r"|strict-transport-security"
)
_RECORDED_HEADERS = re.compile(
    r"retry-after(-ms)?|anthropic-ratelimit-.*|x-should-retry|request-id"
)
MAX_RECORDED_HEADER = 200
# https://docs.claude.com: a token of a subscription is only accepted with this beta named.
OAUTH_BETA = b"oauth-2025-04-20"


class Kind(StrEnum):
    BELL = "bell"
    EVIDENCE = "evidence"
    FORWARD = "forward"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Route:
    """What becomes of a request; `reason` says why it is refused."""

    kind: Kind
    provider: str = ""
    reason: str = ""


def route(method: str, target: str, headers: Headers, token: str) -> Route:
    """Decide about a request by its first lines alone."""
    path = target.partition("?")[0]
    if method == "CONNECT" or not target.startswith("/"):
        host = re.sub(r"^\w+://", "", target).partition("/")[0]
        return Route(Kind.REFUSE, reason=f"the host {host} is not reachable from this sandbox")
    if not _has_token(headers, token):
        return Route(Kind.REFUSE, reason="the request does not carry this sandbox's token")
    if (method, path) == ("POST", "/rover/v1/bell"):
        return Route(Kind.BELL)
    if (method, path) == ("GET", "/rover/v1/evidence"):
        return Route(Kind.EVIDENCE)
    if any(method == m and p.fullmatch(path) for m, p in _ALLOWED_PATHS):
        return Route(Kind.FORWARD, provider="anthropic")
    return Route(Kind.REFUSE, reason=f"{method} {path} is not a path that this sandbox may use")


def _has_token(headers: Headers, token: str) -> bool:
    wanted = token.encode()
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            given = value[7:].strip()
        elif name == b"x-api-key":
            given = value
        else:
            continue
        if hmac.compare_digest(given, wanted):
            return True
    return False


def request_headers(headers: Headers, name: str, value: str) -> list[tuple[bytes, bytes]]:
    """What goes to the provider: allow-listed headers of the agent, and the real credential."""
    passed = [(n, v) for n, v in headers if _REQUEST_HEADERS.fullmatch(n.decode("latin-1"))]
    if name.lower() == "authorization":
        passed = _with_beta(passed, OAUTH_BETA)
    # Identity: usage is read out of the answer as it passes.
    return [*passed, (b"accept-encoding", b"identity"), (name.encode(), value.encode())]


def _with_beta(headers: list[tuple[bytes, bytes]], beta: bytes) -> list[tuple[bytes, bytes]]:
    named = b",".join(v for n, v in headers if n == b"anthropic-beta")
    if beta in named.split(b","):
        return headers
    rest = [(n, v) for n, v in headers if n != b"anthropic-beta"]
    return [*rest, (b"anthropic-beta", named + b"," + beta if named else beta)]


def answer_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What goes back to the agent: all but what belongs to the connection, and cookies."""
    return [
        (n, v)
        for n, v in headers
        if not _DROPPED_ANSWER_HEADERS.fullmatch(n.decode("latin-1").lower())
    ]


def recorded_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """What is kept of an answer's headers: what tells about limits and retries."""
    return {
        n.decode("latin-1").lower(): v.decode("latin-1")[:MAX_RECORDED_HEADER]
        for n, v in headers
        if _RECORDED_HEADERS.fullmatch(n.decode("latin-1").lower())
    }
