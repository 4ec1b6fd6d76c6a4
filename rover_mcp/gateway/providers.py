"""Lists the model providers, in one table of what differs between them. Data and pure functions.

Anthropic: https://docs.claude.com/en/api/overview. OpenAI: https://platform.openai.com/docs/api-reference.
Google: https://ai.google.dev/api.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ProviderFault(StrEnum):
    """What the gateway itself answers instead of a provider."""

    REFUSED = "refused"
    NO_CREDENTIAL = "no_credential"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"
    BUDGET = "budget"
    NOT_KEPT = "not_kept"


STATUSES: Mapping[ProviderFault, int] = MappingProxyType(
    {
        ProviderFault.REFUSED: 403,
        ProviderFault.NO_CREDENTIAL: 401,
        ProviderFault.TOO_LARGE: 413,
        ProviderFault.UNREACHABLE: 502,
        # No agent tries a 400 again, so the runner gets the reason at once.
        ProviderFault.BUDGET: 400,
        ProviderFault.NOT_KEPT: 400,
    }
)


@dataclass(frozen=True)
class Variable:
    """A variable of a user's environment that holds a credential, and how it goes to the
    provider."""

    name: str
    header: str
    scheme: str = ""

    def header_value(self, credential: str) -> str:
        return f"{self.scheme} {credential}" if self.scheme else credential


@dataclass(frozen=True)
class Provider:
    """One provider. Sandboxes reach it under `prefix`; what follows is appended to the base URL.

    `variables` are asked in this order. `source` says how a credential of config.yaml goes;
    `sign_in` does so where it begins with `sign_in_mark`. `words` are the provider's own for a
    fault, and `error` makes its body.
    """

    name: str
    prefix: str
    base_url: str
    url_variable: str
    variables: tuple[Variable, ...]
    paths: tuple[tuple[str, re.Pattern[str]], ...]
    request_headers: re.Pattern[str]
    words: Mapping[ProviderFault, str]
    error: Callable[[int, str, str], dict[str, object]]
    sign_in: Variable | None = None
    sign_in_mark: str = ""
    beta: tuple[bytes, bytes] | None = None
    """a header's name and value that a bearer token needs beside it"""

    def allows(self, method: str, path: str) -> bool:
        """Whether a sandbox may use this path, below the prefix."""
        return any(method == m and p.fullmatch(path) for m, p in self.paths)

    def error_body(self, fault: ProviderFault, message: str) -> dict[str, object]:
        """The gateway's own error, as this provider would shape it."""
        return self.error(STATUSES[fault], self.words[fault], message)

    def variable(self, credential: str) -> Variable:
        """How a credential of config.yaml goes to the provider."""
        if self.sign_in and self.sign_in_mark and credential.startswith(self.sign_in_mark):
            return self.sign_in
        return self.variables[0]

    @property
    def how_to_configure(self) -> str:
        """Where a person puts the credential that is missing."""
        names = " or ".join(v.name for v in self.variables)
        return (
            f"set {names} where your assistant is started, or name a source under "
            f"credentials.{self.name} in Rover's config.yaml"
        )


def _anthropic_error(_status: int, word: str, message: str) -> dict[str, object]:
    """https://docs.claude.com/en/api/errors"""
    return {"type": "error", "error": {"type": word, "message": message}}


def _openai_error(_status: int, word: str, message: str) -> dict[str, object]:
    return {"error": {"message": message, "type": word, "param": None, "code": word}}


def _google_error(status: int, word: str, message: str) -> dict[str, object]:
    """https://cloud.google.com/apis/design/errors"""
    return {"error": {"code": status, "message": message, "status": word}}


RECORDED_HEADERS = re.compile(
    r"(x-)?(ms-)?retry-after(-ms)?|x-should-retry|(x-)?request-id|(x-)?rate-?limit(bysize)?(-.*)?"
    r"|llm_provider-(x-)?(retry|rate-?limit|anthropic-ratelimit).*|anthropic-ratelimit-.*|x-codex-.*"
)
"""The headers of an answer that are recorded: those about limits and retries. They are the same for
all providers, because a base URL may name a proxy, or another provider that speaks the same API."""

# Lists of what passes, not of what does not: the agent's token is in none of these. A name of a
# model has no slash and no `%`, so that a path means the same to every server; Google's names end
# at a colon (`:generateContent`).
_COMMON = r"x-stainless-.*|user-agent|accept|content-type|content-length"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}"
_PLAIN_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}"
_OAUTH = Variable("CLAUDE_CODE_OAUTH_TOKEN", "authorization", "Bearer")

_ANTHROPIC = Provider(
    name="anthropic",
    prefix="/anthropic",
    base_url="https://api.anthropic.com",
    url_variable="ANTHROPIC_BASE_URL",
    variables=(
        Variable("ANTHROPIC_API_KEY", "x-api-key"),
        Variable("ANTHROPIC_AUTH_TOKEN", "authorization", "Bearer"),
        _OAUTH,
    ),
    paths=(
        # Neither files nor batches: they keep data at the provider, beyond the end of the task.
        ("POST", re.compile(r"/v1/messages(/count_tokens)?")),
        ("GET", re.compile(rf"/v1/models(/{_NAME})?")),
    ),
    request_headers=re.compile(
        r"anthropic-(?:version|beta|dangerous-direct-browser-access|client-[a-z-]+)|x-app"
        rf"|x-claude-(?!.*(?:org|project|workspace|account)).*|{_COMMON}"
    ),
    words=MappingProxyType(
        {
            ProviderFault.REFUSED: "permission_error",
            ProviderFault.NO_CREDENTIAL: "authentication_error",
            ProviderFault.TOO_LARGE: "request_too_large",
            ProviderFault.UNREACHABLE: "api_error",
            ProviderFault.BUDGET: "invalid_request_error",
            ProviderFault.NOT_KEPT: "invalid_request_error",
        }
    ),
    error=_anthropic_error,
    sign_in=_OAUTH,
    sign_in_mark="sk-ant-oat",
    # A token of a subscription is only accepted with this beta named.
    beta=(b"anthropic-beta", b"oauth-2025-04-20"),
)

_OPENAI = Provider(
    name="openai",
    prefix="/openai/v1",
    base_url="https://api.openai.com/v1",
    url_variable="OPENAI_BASE_URL",
    variables=(Variable("OPENAI_API_KEY", "authorization", "Bearer"),),
    paths=(
        ("POST", re.compile(r"/responses(/compact)?|/chat/completions")),
        ("GET", re.compile(rf"/models(/{_NAME})?")),
    ),
    request_headers=re.compile(
        r"openai-beta|x-codex-(?!.*(?:org|project|workspace|account)).*|x-client-request-id"
        r"|originator|session[_-]id|thread[_-]id"
        rf"|conversation[_-]id|version|x-openai-internal-codex-responses-lite|{_COMMON}"
    ),
    words=MappingProxyType(
        {
            ProviderFault.REFUSED: "permission_error",
            ProviderFault.NO_CREDENTIAL: "authentication_error",
            ProviderFault.TOO_LARGE: "request_too_large",
            ProviderFault.UNREACHABLE: "server_error",
            ProviderFault.BUDGET: "invalid_request_error",
            ProviderFault.NOT_KEPT: "invalid_request_error",
        }
    ),
    error=_openai_error,
)

_GOOGLE = Provider(
    name="google",
    prefix="/google",
    base_url="https://generativelanguage.googleapis.com",
    url_variable="GOOGLE_GEMINI_BASE_URL",
    variables=(
        Variable("GEMINI_API_KEY", "x-goog-api-key"),
        Variable("GOOGLE_API_KEY", "x-goog-api-key"),
    ),
    paths=(
        (
            "POST",
            re.compile(
                rf"/v1(?:beta|alpha)?/models/{_PLAIN_NAME}"
                r":(?:generateContent|streamGenerateContent|countTokens)"
            ),
        ),
        ("GET", re.compile(rf"/v1(?:beta|alpha)?/models(/{_PLAIN_NAME})?")),
    ),
    request_headers=re.compile(rf"x-goog-api-client|x-gemini-.*|{_COMMON}"),
    words=MappingProxyType(
        {
            ProviderFault.REFUSED: "PERMISSION_DENIED",
            ProviderFault.NO_CREDENTIAL: "UNAUTHENTICATED",
            ProviderFault.TOO_LARGE: "INVALID_ARGUMENT",
            ProviderFault.UNREACHABLE: "UNAVAILABLE",
            ProviderFault.BUDGET: "FAILED_PRECONDITION",
            ProviderFault.NOT_KEPT: "INVALID_ARGUMENT",
        }
    ),
    error=_google_error,
)

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {p.name: p for p in (_ANTHROPIC, _OPENAI, _GOOGLE)}
)


def provider_at(path: str) -> Provider | None:
    """The provider whose prefix a path has."""
    return next((p for p in PROVIDERS.values() if path.startswith(p.prefix + "/")), None)


def missing_credential(provider: str) -> str:
    """The message for a missing credential: what is missing, and where to put it."""
    known = PROVIDERS.get(provider)
    how = known.how_to_configure if known else f"name a source under credentials.{provider}"
    return f"Rover has no credential for {provider}: {how}"
