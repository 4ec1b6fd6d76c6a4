"""The real Qwen Code CLI, headless. facts/agents.md, sections 2.5, 3 and 4."""

from __future__ import annotations

from agent_runner.agents.headless import Turn, program_version
from agent_runner.agents.protocol import AgentOutcome, AgentRequest
from agent_runner.agents.qwen_events import NAME, PROVIDER, Reading
from agent_runner.agents.settings_file import write_settings
from agent_runner.process.commands import Commands

MODEL = "qwen3-coder-plus"
"""Where the task names none: an endpoint that speaks OpenAI's language has no default."""

SETTINGS_FILE = ".qwen/settings.json"
# The runner does the waiting (D5): of itself it would go on for more than 15 minutes.
SETTINGS = {
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "openai"}},
    "model": {"generationConfig": {"maxRetries": 0}},
    # After each turn it would ask the model what to remember, and that costs.
    "memory": {
        "enableManagedAutoMemory": False,
        "enableManagedAutoDream": False,
        "enableAutoSkill": False,
    },
}


class QwenAgent:
    """Drives `qwen -o stream-json`. A delay beyond `max_retry_delay` seconds, announced before
    it tries again, ends the run at once: the wait is the runner's."""

    name = NAME
    provider = PROVIDER

    def __init__(self, program: str = "qwen", max_retry_delay: float = 30.0) -> None:
        self._program = program
        self._max_retry_delay = max_retry_delay
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
        """One turn: see `Agent.run`.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        await write_settings(commands, SETTINGS_FILE, SETTINGS)
        reading = Reading(resumed=request.resume is not None)
        turn = Turn(NAME, PROVIDER, request, reading, self._version, self._max_retry_delay)
        environment = {
            "OPENAI_BASE_URL": f"{request.base_url}/openai/v1",
            "OPENAI_API_KEY": request.token,
            "OPENAI_MODEL": request.model or MODEL,
            "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
        }
        return turn.judge(await turn.follow(commands, self._argv(request), environment))

    def _argv(self, request: AgentRequest) -> list[str]:
        session = (
            ["--resume", request.resume.session_id]
            if request.resume
            else ["--session-id", request.session_id]
        )
        # The sandbox is what protects: it holds nothing but the task.
        return [self._program, "-o", "stream-json", "--approval-mode", "yolo", *session]
