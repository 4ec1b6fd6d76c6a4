"""Decides which requests pass, where to, and with which headers. Pure; no I/O."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, unquote_plus

from rover_mcp.gateway.api_restriction import allowed_betas
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import RECORDED_HEADERS, Provider, provider_at

Headers = Sequence[tuple[bytes, bytes]]

# alt-svc and strict-transport-security speak of the provider's host, which the agent never reaches;
# the others are about the connection.
_DROPPED_ANSWER_HEADERS = re.compile(
    r"connection|keep-alive|transfer-encoding|te|trailer|upgrade|proxy-.*|set-cookie|alt-svc"
    r"|strict-transport-security"
)
MAX_RECORDED_HEADER = 200
MAX_WATCH_SECONDS = 600.0
# Where agents put their key. In a sandbox that is its token, which is worth nothing elsewhere.
_KEY_HEADERS = frozenset({b"x-api-key", b"x-goog-api-key"})
_KEY_PARAMETER = "key"
# Google's clients also name a project in the query, and others an organisation: calls must be
# counted on the account of the credential, not on one that an agent chooses.
_WHOSE = re.compile(
    r"key|token|auth|secret|credential|password|signature|project|organi[sz]ation|^org|account"
    r"|tenant|workspace|user",
    re.IGNORECASE,
)
BETA = b"anthropic-beta"
# A subscription's login is a bearer token; codex names the account in a header of its own.
_LOGIN_HEADERS = frozenset({b"authorization", b"chatgpt-account-id"})


class RouteKind(StrEnum):
    BELL = "bell"
    EVIDENCE = "evidence"
    FORWARD = "forward"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Route:
    """What becomes of a request. `target` is what follows the provider's base URL. `reason` says
    why it is refused; `provider` then is the one whose way of telling errors the agent knows."""

    kind: RouteKind
    provider: Provider | None = None
    target: str = ""
    reason: str = ""


@dataclass(frozen=True)
class EvidenceWait:
    """A request to wait `wait` seconds at most for an answer with a number beyond `after`."""

    after: int
    wait: float


def route(
    method: str, target: str, headers: Headers, token: str, providers: Collection[str]
) -> Route:
    """Decide about a request by its head alone. `providers` are those that the task may use."""
    path, _, query = target.partition("?")
    provider = provider_at(path)
    if not _has_token(headers, query, token):
        reason = "the request does not carry this sandbox's token"
        return Route(RouteKind.REFUSE, provider, reason=reason)
    if (method, path) == ("POST", "/rover/v1/bell"):
        return Route(RouteKind.BELL)
    if (method, path) == ("GET", "/rover/v1/evidence"):
        return Route(RouteKind.EVIDENCE)
    below = path.removeprefix(provider.prefix) if provider else ""
    if provider is None or not provider.allows(method, below):
        reason = f"{method} {path} is not a path that this sandbox may use"
        return Route(RouteKind.REFUSE, provider, reason=reason)
    if provider.name not in providers:
        reason = f"no agent of this task uses {provider.name}"
        return Route(RouteKind.REFUSE, provider, reason=reason)
    return Route(RouteKind.FORWARD, provider, _harmless(below, query))


def watch(target: str) -> EvidenceWait | None:
    """How `GET /rover/v1/evidence?after=N&wait=S` wants to wait; None: it does not."""
    values = parse_qs(target.partition("?")[2])
    try:
        after = int(values.get("after", ["0"])[0])
        wait = float(values.get("wait", ["0"])[0])
    except ValueError:
        return None
    return EvidenceWait(after, min(wait, MAX_WATCH_SECONDS)) if wait > 0 else None


def _has_token(headers: Headers, query: str, token: str) -> bool:
    # A comparison that ends at the first difference would tell by its time how much of a guessed
    # token is right.
    wanted = token.encode()
    return any(hmac.compare_digest(given, wanted) for given in _tokens(headers, query))


def _tokens(headers: Headers, query: str) -> Iterable[bytes]:
    for name, value in headers:
        if name in _KEY_HEADERS:
            yield value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].strip()
    for parameter in _key_parameters(query):
        yield unquote_plus(parameter.partition("=")[2]).encode()


def _key_parameters(query: str) -> list[str]:
    return [p for p in query.split("&") if unquote_plus(p.partition("=")[0]) == _KEY_PARAMETER]


def _harmless(path: str, query: str) -> str:
    """The target without parameters that hold a credential or name an account, however they are
    written: `key=` is where some agents put the sandbox's token."""
    kept = [p for p in query.split("&") if not _WHOSE.search(unquote_plus(p.partition("=")[0]))]
    return f"{path}?{'&'.join(kept)}" if any(kept) else path


def request_headers(
    provider: Provider,
    headers: Headers,
    access: ProviderAccess,
    token: str,
    *,
    within_api: bool = False,
) -> list[tuple[bytes, bytes]]:
    """What goes to the provider: allow-listed headers of the agent, and the real credential.
    `within_api`: of features of the API only those that keep to it."""
    allowed = provider.request_headers
    passed = [(n, v) for n, v in headers if allowed.fullmatch(n.decode("latin-1"))]
    if within_api:
        passed = _kept_headers(passed)
    # Identity, because usage is read from the answer as it passes.
    passed.append((b"accept-encoding", b"identity"))
    if access.passthrough:
        return [*passed, *_own_login(headers, token)]
    name, value = access.header_name, access.header_value
    if provider.beta and name.lower() == "authorization":
        passed = _with_value(passed, *provider.beta)
    beside = [(n.encode(), v.encode()) for n, v in access.beside]
    return [*passed, (name.encode(), value.encode()), *beside]


def _kept_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    betas, _ = allowed_betas([v for n, v in headers if n == BETA])
    rest = [(n, v) for n, v in headers if n not in (BETA, b"openai-beta")]
    return [*rest, (BETA, betas)] if betas else rest


def dropped_betas(headers: Headers) -> tuple[str, ...]:
    """Return, for people, the beta features that a task limited to the API may not use."""
    return allowed_betas([v for n, v in headers if n == BETA])[1]


def _own_login(headers: Headers, token: str) -> list[tuple[bytes, bytes]]:
    """The agent's own login; never the token of the sandbox."""
    wanted = token.encode()
    return [(n, v) for n, v in headers if n in _LOGIN_HEADERS and wanted not in v]


def _with_value(
    headers: list[tuple[bytes, bytes]], name: bytes, value: bytes
) -> list[tuple[bytes, bytes]]:
    named = b",".join(v for n, v in headers if n == name)
    if value in named.split(b","):
        return headers
    rest = [(n, v) for n, v in headers if n != name]
    return [*rest, (name, named + b"," + value if named else value)]


def answer_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers for the agent: all but those of the connection, and cookies."""
    return [
        (n, v)
        for n, v in headers
        if not _DROPPED_ANSWER_HEADERS.fullmatch(n.decode("latin-1").lower())
    ]


def recorded_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of an answer that are recorded: those about limits and retries."""
    return {
        n.decode("latin-1").lower(): v.decode("latin-1")[:MAX_RECORDED_HEADER]
        for n, v in headers
        if RECORDED_HEADERS.fullmatch(n.decode("latin-1").lower())
    }
