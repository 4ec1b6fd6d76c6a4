"""The interface of every agent driver: a Protocol, its request, its outcome and its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent_runner.models import AgentSession, Failure, Usage
from agent_runner.process.commands import CommandStarter
from agent_runner.workflow.output_examples import Example


class AgentFailed(Exception):
    """The agent ended without success. `session` and `usage` are what is known of the turn."""

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

    `resume` is the session to continue, or None; then `session_id` is a new UUID that an agent
    which accepts a caller's id must use. `base_url` and `token` reach the gateway. While the turn
    runs, `on_usage` is called with what was used since its last call; the outcome or the error has
    the usage of the complete turn. `examples` are values for the step's outputs, for the scripted
    agent; the prompt asks for the outputs in any case. `schema` is the JSON Schema of an answer of
    outputs alone, for agents that can be held to one.
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
class DoubtfulSuccess:
    """A reason to doubt the success of a turn. `failure` is the agent's last message as an error;
    `begins_so`: it begins like one. `counts`: it decides if the gateway did not see what the
    provider answered."""

    failure: Failure
    begins_so: bool
    counts: bool


@dataclass(frozen=True)
class AgentOutcome:
    """A turn that succeeded. `outputs` is set by agents that give outputs apart from their text."""

    text: str
    session: AgentSession | None
    usage: Usage
    outputs: Mapping[str, str] | None = None
    doubt: DoubtfulSuccess | None = None


class Agent(Protocol):
    """A driver of one agent CLI. `provider` names whose API it calls ("anthropic", ...)."""

    name: str
    provider: str

    def presets_session(self) -> bool:
        """Whether it accepts a caller-chosen session id, so that the checkpoint can hold it
        before the agent is spawned."""
        ...

    async def version(self, commands: CommandStarter) -> str | None:
        """The CLI's version, or None if it has none."""
        ...

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        """Run one turn.

        Raises:
            AgentFailed: the turn failed; with the failure as the agent reports it.
            TimeoutError: the step's own time limit passed.
        """
        ...
