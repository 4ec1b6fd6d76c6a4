"""What may be asked of a model API by a task that may reach nothing else. Pure.

A provider runs tools of its own, and fetches what a request names: pages, files, servers of MCP. A
task whose network is `providers` would reach the world through it. So only fields and kinds pass
that are known to keep to the request itself, by a list for each API (anthropic_restriction,
openai_restriction, google_restriction); anything else is refused by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from rover_mcp.domain.network_policy import IF_ALLOWED
from rover_mcp.gateway.anthropic_restriction import MESSAGES
from rover_mcp.gateway.google_restriction import GENERATE
from rover_mcp.gateway.json_shapes import NotListed, Shape, shown
from rover_mcp.gateway.openai_restriction import CHAT, RESPONSES
from rover_mcp.gateway.response_formats import mapping

REMEDY = f"network: allowlist, or open, {IF_ALLOWED}"

# Some models search the web on their own, and are named so. This is a list of what is refused,
# since a list of all models that pass cannot be kept.
_LOOKS_UP = re.compile(r"search|deep-?research|:online|sonar|compound|grounded", re.IGNORECASE)

_BETAS = re.compile(
    r"(?:claude-code|claude-code-side-query|interleaved-thinking|dev-full-thinking|redact-thinking"
    r"|thinking-[a-z-]+|context-management|context-1m|context-hint|per-turn-control|effort|timing"
    r"|mid-conversation-[a-z-]+|advanced-tool-use|tool-examples|tool-search-tool|tool-provenance"
    r"|inline-tools|fine-grained-tool-streaming|token-efficient-tools|structured-outputs|max-tokens"
    r"|output-128k|prompt-caching|prompt-caching-[a-z]+|extended-cache-ttl|cache-[a-z]+|compact"
    r"|model-context-window-exceeded|token-counting|task-budgets|fast-mode|afk-mode|request-tags"
    r"|auto-mode-classifier|server-side-fallback|fallback-credit|program-use-case-ids|resumption"
    r"|message-threads|dangerous-tool-use|oauth)-\d{4}-?\d{2}-?\d{2}"
)
"""Features of Anthropic's API that keep to the request itself, as a header names them."""


class OutsideModelApi(Exception):
    """The request asks for what is not known to stay within the model API; `what` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class RestrictedBody:
    """A request that stays within the model API. `dropped` names what was taken out of it."""

    body: dict[str, Any]
    dropped: tuple[str, ...] = ()


def restrict_to_api(provider: str, path: str, model: str, body: dict[str, Any]) -> RestrictedBody:
    """Return the request as it may be forwarded. `path` is below the provider's base address.

    Raises:
        OutsideModelApi
    """
    if _LOOKS_UP.search(model):
        raise OutsideModelApi(f"model: {shown(model)}")
    kept = _without_offers(body) if path.startswith("/responses") else RestrictedBody(body)
    shape = _shape(provider, path)
    try:
        passed = shape(kept.body, "")
    except NotListed as error:
        raise OutsideModelApi(error.where) from error
    return RestrictedBody(mapping(passed), kept.dropped)


def _shape(provider: str, path: str) -> Shape:
    if provider == "anthropic":
        return MESSAGES
    if provider == "google":
        return GENERATE
    return RESPONSES if path.startswith("/responses") else CHAT


def _without_offers(body: dict[str, Any]) -> RestrictedBody:
    """Remove the web search that codex offers the model beside its own tools.

    codex offers it unasked in every call, so that refusing it would make codex unusable. Where a
    call offers nothing else, searching is its purpose, and it is refused.
    """
    tools = cast(object, body.get("tools"))
    if not isinstance(tools, list):
        return RestrictedBody(body)
    offered = cast(list[object], tools)
    rest = [tool for tool in offered if mapping(tool).get("type") != "web_search"]
    if not rest or len(rest) == len(offered):
        return RestrictedBody(body)
    return RestrictedBody({**body, "tools": rest}, ("tools[]: type web_search",))


def allowed_betas(values: Sequence[bytes]) -> tuple[bytes, tuple[str, ...]]:
    """Split the values of `anthropic-beta` into one value to forward, and the features dropped."""
    named = [b.strip() for value in values for b in value.decode("latin-1").split(",")]
    kept = [beta for beta in named if _BETAS.fullmatch(beta)]
    dropped = [f"anthropic-beta: {shown(beta)}" for beta in named if beta and beta not in kept]
    return ",".join(kept).encode(), tuple(dropped)
