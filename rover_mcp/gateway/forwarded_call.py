"""Prepares a request to a model API for forwarding: unread, or parsed, judged and serialised again.

A request is parsed only where something depends on its content: a task that may reach nothing but
the API, or one that has a budget. Otherwise it streams through without being held in memory.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from rover_mcp.gateway import request_body
from rover_mcp.gateway.api_restriction import OutsideModelApi, restrict_to_api
from rover_mcp.gateway.call_estimate import CallEstimate, estimate_call, with_counts
from rover_mcp.gateway.http_server import BodyTooLarge, Exchange
from rover_mcp.gateway.request_body import BadBody
from rover_mcp.gateway.response_formats import MAX_MODEL

MAX_HELD_BYTES = 4 * request_body.MAX_BYTES
"""The limit for all bodies of one attempt that are being read at a time."""

LARGE = 256 * 1024
"""Bytes. A larger body is parsed in a thread: one event loop serves every sandbox."""

_MODEL_IN_PATH = re.compile(r"/models/([^/:?]{1,200}):")


@dataclass(frozen=True)
class ForwardedCall:
    """A request to forward. `content` is None if the body streams through unread; then nothing
    is known of what it demands. `dropped` names what was removed from it."""

    content: bytes | None = None
    demand: CallEstimate | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class CallRules:
    """What a request must satisfy: stay within the API, have a cost that can be known."""

    within_api: bool = False
    counted: bool = False

    @property
    def read(self) -> bool:
        return self.within_api or self.counted


class BodyMemory:
    """Limits how many bytes of request bodies one attempt holds in memory."""

    def __init__(self, most: int = MAX_HELD_BYTES) -> None:
        self._left = most

    async def read(self, exchange: Exchange) -> bytes:
        """Read a complete body. Its room is free again when this returns, since a body is
        short-lived from then on.

        Raises:
            BodyTooLarge: the body is too large, or all bodies together are.
        """
        held = bytearray()
        try:
            async for data in exchange.body():
                self._left -= len(data)
                held += data
                if len(held) > request_body.MAX_BYTES or self._left < 0:
                    raise BodyTooLarge
            return bytes(held)
        finally:
            self._left += len(held)


def model_in_path(target: str) -> str | None:
    """The model that a path of Google's API names."""
    match = _MODEL_IN_PATH.search(target)
    return match[1] if match else None


async def read_call(
    exchange: Exchange, provider: str, target: str, rules: CallRules, room: BodyMemory
) -> ForwardedCall:
    """Return the request as it is forwarded.

    Raises:
        BodyTooLarge, BadBody, OutsideModelApi: it is refused.
    """
    path = target.partition("?")[0]
    if not rules.read:
        return ForwardedCall()
    # A GET or HEAD with a body means different things to different servers.
    if exchange.method != "POST":
        if exchange.has_body:
            raise BadBody(f"a {exchange.method} has none")
        return ForwardedCall()
    data = await room.read(exchange)
    if len(data) <= LARGE:
        return prepare_call(provider, path, data, rules)
    return await asyncio.to_thread(prepare_call, provider, path, data, rules)


def prepare_call(provider: str, path: str, data: bytes, rules: CallRules) -> ForwardedCall:
    """Judge a body that was read, by the rules. Pure.

    Raises:
        BadBody, OutsideModelApi
    """
    try:
        body = request_body.parse(data)
        model = model_in_path(path) or str(body.get("model") or "")[:MAX_MODEL]
        dropped: tuple[str, ...] = ()
        if rules.within_api:
            kept = restrict_to_api(provider, path, model, body)
            body, dropped = kept.body, kept.dropped
        if rules.counted:
            body = with_counts(path, body)
        content = request_body.serialize(body)
    except RecursionError as error:
        raise BadBody("it is nested too deep") from error
    return ForwardedCall(content, estimate_call(path, model, body, len(content)), dropped)


def refusal_reason(error: BadBody | OutsideModelApi) -> str:
    """Say to the agent why a request is not forwarded."""
    if isinstance(error, OutsideModelApi):
        return (
            f"{error.what} is not known to stay within the model API, and the network policy of "
            "this task is providers"
        )
    return f"the body of this request cannot be passed on: {error}"
