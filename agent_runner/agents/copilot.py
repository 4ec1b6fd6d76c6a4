"""The real GitHub Copilot CLI, headless, with a key of one's own. facts/agents.md, sections 2.6
and 4."""

from __future__ import annotations

from agent_runner.agents.copilot_events import NAME, Reading, stored_usage
from agent_runner.agents.headless import Turn, program_version
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest
from agent_runner.models import Usage
from agent_runner.process.commands import Commands

MODELS = {"openai": "gpt-5", "anthropic": "claude-sonnet-4.5"}
"""Where the task names none: with a key of one's own it has no default."""

_ENVIRONMENT = {"COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false"}
_READ_EVENTS = (
    "grep -hE '^.{0,40}\"session\\.(start|resume|usage_record)\"' "
    '"$HOME/.copilot/session-state/$1/events.jsonl" | cut -c1-2000'
)
_MAX_EVENTS = 4_000_000


class CopilotAgent:
    """Drives `copilot --output-format json`."""

    name = NAME
    provider = "openai"

    def __init__(self, program: str = "copilot") -> None:
        self._program = program
        self._version: str | None = None

    def presets_session(self) -> bool:
        """It takes a session id from its caller."""
        return True

    async def version(self, commands: Commands) -> str | None:
        """The CLI's version; None where it does not say one."""
        if self._version is None:
            version = await program_version(commands, self._program)
            self._version = version.rstrip(".") if version else None
        return self._version

    async def run(self, request: AgentRequest, commands: Commands) -> AgentOutcome:
        """One turn: see `Agent.run`. Its usage comes with the outcome.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        provider = provider_of(request.model)
        session = request.resume.session_id if request.resume else request.session_id
        # Its result has it, but that is the last event, and a killed run gives none.
        reading = Reading(provider, session_id=session)
        turn = Turn(NAME, provider, request, reading, self._version)
        try:
            code = await turn.follow(commands, self._argv(request), _environment(request, provider))
        except AgentFailed as error:
            error.usage = await _usage(commands, session)
            raise
        reading.usage = await _usage(commands, session)
        return turn.judge(code)

    def _argv(self, request: AgentRequest) -> list[str]:
        session = (
            f"--resume={request.resume.session_id}"
            if request.resume
            else f"--session-id={request.session_id}"
        )
        # The sandbox is what protects: it holds nothing but the task.
        allow = ["--allow-all-tools", "--allow-all-paths", "--no-ask-user"]
        return [self._program, "--output-format", "json", *allow, session]


def provider_of(model: str | None) -> str:
    """Whose API is called for a model."""
    return "anthropic" if (model or "").startswith("claude") else "openai"


def _environment(request: AgentRequest, provider: str) -> dict[str, str]:
    path = "/anthropic" if provider == "anthropic" else "/openai/v1"
    return {
        **_ENVIRONMENT,
        "COPILOT_PROVIDER_BASE_URL": request.base_url + path,
        "COPILOT_PROVIDER_TYPE": provider,
        "COPILOT_PROVIDER_API_KEY": request.token,
        "COPILOT_MODEL": request.model or MODELS[provider],
    }


async def _usage(commands: Commands, session_id: str) -> Usage:
    argv = ["sh", "-c", _READ_EVENTS, "usage", session_id]
    done = await commands.run(argv, output_limit=_MAX_EVENTS)
    return stored_usage(done.stdout.decode(errors="replace").splitlines())
