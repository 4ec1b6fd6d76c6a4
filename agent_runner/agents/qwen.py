"""The driver of Qwen Code."""

from __future__ import annotations

from agent_runner.agents.headless import HeadlessAgent, session_arguments
from agent_runner.agents.protocol import AgentRequest
from agent_runner.agents.qwen_events import NAME, PROVIDER, QwenStream
from agent_runner.agents.settings_file import write_settings
from agent_runner.process.commands import CommandStarter

MODEL = "qwen3-coder-plus"
"""The model if the task names none: an endpoint that speaks OpenAI's protocol has no default."""

SETTINGS_FILE = ".qwen/settings.json"
# The runner does the waiting: with its own defaults Qwen Code 0.24 retried for over 15 minutes.
SETTINGS = {
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "openai"}},
    "model": {"generationConfig": {"maxRetries": 0}},
    # Otherwise it asks the model after each turn what to remember, which costs tokens.
    "memory": {
        "enableManagedAutoMemory": False,
        "enableManagedAutoDream": False,
        "enableAutoSkill": False,
    },
}


class QwenAgent(HeadlessAgent[QwenStream]):
    """Drives `qwen -o stream-json`."""

    name = NAME
    provider = PROVIDER

    def _reading(self, request: AgentRequest) -> QwenStream:
        return QwenStream(resumed=request.resume is not None)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        await write_settings(commands, SETTINGS_FILE, SETTINGS)
        # The sandbox is what protects: it holds nothing but the task.
        yolo = ["--approval-mode", "yolo"]
        argv = [self._program, "-o", "stream-json", *yolo, *session_arguments(request)]
        environment = {
            "OPENAI_BASE_URL": f"{request.base_url}/openai/v1",
            "OPENAI_API_KEY": request.token,
            "OPENAI_MODEL": request.model or MODEL,
            "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
        }
        return argv, environment
