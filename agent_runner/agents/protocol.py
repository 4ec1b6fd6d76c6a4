"""What every agent driver is: one Protocol, one request, one outcome, one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent_runner.models import AgentSession, Failure, Usage
from agent_runner.process.commands import Commands
from agent_runner.workflow.examples import Example


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
    the error) has the whole turn's usage. `examples` are values for the outputs that the step
    declares, for an agent that only plays; the prompt asks for them already. `schema` is the JSON
    Schema of the answer where nothing but outputs is wanted, for agents that can be held to one.
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
    examples: tuple[Example, ...] = ()
    schema: Mapping[str, Any] | None = None


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
            TimeoutError: the step's own time limit passed.
        """
        ...
