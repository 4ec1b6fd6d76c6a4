"""The driver of Gemini CLI."""

from __future__ import annotations

from agent_runner.agents.gemini_events import NAME, PROVIDER, GeminiStream
from agent_runner.agents.headless import HeadlessAgent, session_arguments
from agent_runner.agents.protocol import AgentRequest
from agent_runner.agents.settings_file import write_settings
from agent_runner.process.commands import CommandStarter

SETTINGS_FILE = ".gemini/settings.json"
# The runner does the waiting: a second attempt absorbs a blip, and the default of ten hides an
# error for up to five minutes. Telemetry and updates are off, because the sandbox has no network.
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
    # Without it the CLI runs as the child of a parent process that ignores SIGTERM.
    "GEMINI_CLI_NO_RELAUNCH": "true",
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
}


class GeminiAgent(HeadlessAgent[GeminiStream]):
    """Drives `gemini -o stream-json`. Its usage comes with the outcome."""

    name = NAME
    provider = PROVIDER

    def _reading(self, request: AgentRequest) -> GeminiStream:
        return GeminiStream()

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        await write_settings(commands, SETTINGS_FILE, SETTINGS)
        model = ["-m", request.model] if request.model else []
        # The sandbox is what protects: it holds nothing but the task.
        yolo = ["--approval-mode", "yolo", "--skip-trust"]
        argv = [self._program, "-o", "stream-json", *yolo, *model, *session_arguments(request)]
        environment = {
            **_ENVIRONMENT,
            "GOOGLE_GEMINI_BASE_URL": f"{request.base_url}/google",
            "GEMINI_API_KEY": request.token,
        }
        return argv, environment
