"""The real Gemini CLI, headless. facts/agents.md, sections 2.3, 3 and 4."""

from __future__ import annotations

from agent_runner.agents.gemini_events import NAME, PROVIDER, Reading
from agent_runner.agents.headless import Turn, program_version
from agent_runner.agents.protocol import AgentOutcome, AgentRequest
from agent_runner.agents.settings_file import write_settings
from agent_runner.process.commands import Commands

SETTINGS_FILE = ".gemini/settings.json"
# The runner does the waiting (D5): a second attempt absorbs a blip, ten hide the error for
# minutes. Nothing that calls home.
SETTINGS = {
    "general": {
        "maxAttempts": 2,
        "retryFetchErrors": False,
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
    },
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
}
_ENVIRONMENT = {
    # One process, not a parent that ignores signals.
    "GEMINI_CLI_NO_RELAUNCH": "true",
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
}


class GeminiAgent:
    """Drives `gemini -o stream-json`."""

    name = NAME
    provider = PROVIDER

    def __init__(self, program: str = "gemini") -> None:
        self._program = program
        self._version: str | None = None

    def presets_session(self) -> bool:
        """It takes a session id from its caller."""
        return True

    async def version(self, commands: Commands) -> str | None:
        """The CLI's version; None where it does not say one."""
        if self._version is None:
            self._version = await program_version(commands, self._program)
        return self._version

    async def run(self, request: AgentRequest, commands: Commands) -> AgentOutcome:
        """One turn: see `Agent.run`. Its usage comes with the outcome.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        await write_settings(commands, SETTINGS_FILE, SETTINGS)
        turn = Turn(NAME, PROVIDER, request, Reading(), self._version)
        environment = {
            **_ENVIRONMENT,
            "GOOGLE_GEMINI_BASE_URL": f"{request.base_url}/google",
            "GEMINI_API_KEY": request.token,
        }
        return turn.judge(await turn.follow(commands, self._argv(request), environment))

    def _argv(self, request: AgentRequest) -> list[str]:
        session = (
            ["--resume", request.resume.session_id]
            if request.resume
            else ["--session-id", request.session_id]
        )
        model = ["-m", request.model] if request.model else []
        # The sandbox is what protects: it holds nothing but the task.
        yolo = ["--approval-mode", "yolo", "--skip-trust"]
        return [self._program, "-o", "stream-json", *yolo, *model, *session]
