"""Decides whether an agent's turn failed, and what an exception of its driver means. Pure."""

from __future__ import annotations

import anyio

from agent_runner.agents.protocol import DoubtfulSuccess
from agent_runner.gateway_evidence import Calls
from agent_runner.models import Failure

BROKEN = (
    ConnectionError,
    TimeoutError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)
"""What a driver raises when the connection to its agent breaks."""


def is_failure(doubt: DoubtfulSuccess, calls: Calls | None) -> bool:
    """Whether a turn that claims success failed. What the gateway saw outweighs the last message,
    which decides only if nothing passed through the gateway. A turn whose calls were all refused
    did nothing, whatever it says."""
    if calls is None:
        return doubt.counts
    return calls.last_failed and (doubt.begins_so or calls.answered == 0)


def is_own_timeout(error: Exception) -> bool:
    """Whether the step's time is over. Time-outs of connections have an error number."""
    return isinstance(error, TimeoutError) and error.errno is None


def failure_of_exception(agent: str, error: Exception) -> Failure:
    """The failure for an exception that a driver raised."""
    if isinstance(error, BROKEN):
        text = str(error) or "the connection to the agent broke"
        return Failure("agent", f"{agent}: {text}", code="connection_failed")
    return Failure("agent", f"{agent}: {error}", code="spawn_failed")
