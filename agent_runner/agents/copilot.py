"""The driver of GitHub Copilot CLI, with an API key of a model provider."""

from __future__ import annotations

from agent_runner.agents.copilot_events import NAME, CopilotStream, stored_usage
from agent_runner.agents.headless import HeadlessAgent, session_arguments
from agent_runner.agents.protocol import AgentRequest
from agent_runner.process.commands import CommandStarter

MODELS = {"openai": "gpt-5", "anthropic": "claude-sonnet-4.5"}
"""The model if the task names none: with a provider's key Copilot has no default."""

_ENVIRONMENT = {"COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false"}
_READ_EVENTS = (
    "grep -hE '^.{0,40}\"session\\.(start|resume|usage_record)\"' "
    '"$HOME/.copilot/session-state/$1/events.jsonl" | cut -c1-2000'
)
_MAX_EVENTS = 4_000_000


class CopilotAgent(HeadlessAgent[CopilotStream]):
    """Drives `copilot --output-format json`. Its usage comes with the outcome."""

    name = NAME
    provider = "openai"

    def _provider(self, request: AgentRequest) -> str:
        return provider_of(request.model)

    def _reading(self, request: AgentRequest) -> CopilotStream:
        # Its result has the id, but that is the last event, and a killed run prints none.
        session = request.resume.session_id if request.resume else request.session_id
        return CopilotStream(provider_of(request.model), session_id=session)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        session = "=".join(session_arguments(request))
        # The sandbox is what protects: it holds nothing but the task.
        allow = ["--allow-all-tools", "--allow-all-paths", "--no-ask-user"]
        argv = [self._program, "--output-format", "json", *allow, session]
        return argv, _environment(request, provider_of(request.model))

    async def _read_files(self, reading: CopilotStream, commands: CommandStarter) -> None:
        argv = ["sh", "-c", _READ_EVENTS, "usage", reading.session_id or ""]
        done = await commands.run(argv, output_limit=_MAX_EVENTS)
        reading.usage = stored_usage(done.stdout.decode(errors="replace").splitlines())


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
