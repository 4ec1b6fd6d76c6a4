"""What every agent driver is: one Protocol, one request, one outcome, one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from agent_runner.commands import Commands
from agent_runner.models import AgentSession, Usage


@dataclass(frozen=True)
class Failure:
    """What is known of an error, from fields that carry errors and nothing else (D3).

    `source` tells who saw it: the gateway (first hand) or the agent's structured fields.
    `headers` are lower case. `retry_after` is in seconds. `body` is the provider's answer as it
    came, where the agent passes it on. `model` is the one that was asked for. `agent_credential`:
    the agent used a log-in of its own, so nobody knows whose account it was. `host` is the address
    of the API that refused, where it is known: several providers speak the same API.
    """

    source: Literal["gateway", "agent"]
    message: str
    provider: str | None = None
    status: int | None = None
    type: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after: float | None = None
    reset_at: datetime | None = None
    interrupted: bool = False
    body: str = ""
    agent_credential: bool = False
    host: str | None = None
    model: str | None = None


class AgentFailed(Exception):
    """The agent ended without success. `session` and `usage` are what the attempt still gave."""

    def __init__(
        self, failure: Failure, session: AgentSession | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.session = session
        self.usage = usage or Usage()


class SessionLost(AgentFailed):
    """The session to be resumed does not exist: start a fresh one on the preserved tree."""


@dataclass(frozen=True)
class AgentRequest:
    """One turn of one step.

    `resume` is the session to go on with, else None; `session_id` is then a fresh UUID that an
    agent which accepts a caller's id must use. `base_url` and `token` reach the gateway.
    `on_usage` takes what was used since it was last called, while the turn runs; the outcome (or
    the error) has the whole turn's usage. `outputs` names what the step declares; the prompt asks
    for them already.
    """

    step_id: str
    prompt: str
    session_id: str
    resume: AgentSession | None
    model: str | None
    base_url: str
    token: str
    silence: float
    timeout: float
    on_session: Callable[[AgentSession], None]
    on_usage: Callable[[Usage], None]
    on_log: Callable[[str], None]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Doubt:
    """A success that nothing but the end of a turn claims. `failure` is the last message as an
    error; `begins_so`: it begins like one. `counts`: it is taken for one where nobody else saw
    what the provider answered."""

    failure: Failure
    begins_so: bool
    counts: bool


@dataclass(frozen=True)
class AgentOutcome:
    """A turn that succeeded. `outputs` is set by agents that have outputs of their own."""

    text: str
    session: AgentSession | None
    usage: Usage
    outputs: Mapping[str, str] | None = None
    doubt: Doubt | None = None


class Agent(Protocol):
    """A driver of one agent CLI. `provider` names whose API it calls ("anthropic", ...)."""

    name: str
    provider: str

    def presets_session(self) -> bool:
        """Whether it accepts a caller-chosen session id, so that the checkpoint can hold it
        before the agent is spawned."""
        ...

    async def version(self, commands: Commands) -> str | None:
        """The CLI's version, or None where it has none."""
        ...

    async def run(self, request: AgentRequest, commands: Commands) -> AgentOutcome:
        """Run one turn.

        Raises:
            AgentFailed: with the failure as the agent's own fields tell it.
            TimeoutError: the step's own time limit passed (not retryable, D4).
        """
        ...
