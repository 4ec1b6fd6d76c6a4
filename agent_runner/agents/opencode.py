"""The driver of opencode."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent_runner.agents.headless import HeadlessAgent
from agent_runner.agents.opencode_events import OpencodeStream
from agent_runner.agents.protocol import AgentRequest
from agent_runner.process.commands import CommandStarter

NAME = "opencode"
DEFAULT_MODEL = "anthropic/claude-sonnet-4-5"
# Where each provider's own client appends its paths: the gateway's prefix, and the API's version.
_BASES: Mapping[str, str] = {
    "anthropic": "/anthropic/v1",
    "openai": "/openai/v1",
    "google": "/google/v1beta",
}
_ENVIRONMENT = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
}


class OpencodeAgent(HeadlessAgent[OpencodeStream]):
    """Drives `opencode run`. Its sessions have ids of its own, which its log tells early.

    It has no setting for its retries, and obeys a `retry-after` of any length in silence: the
    runner watches the gateway meanwhile, and ends a wait that is pointless.
    """

    name = NAME
    provider = "anthropic"
    takes_session_id = False

    def _provider(self, request: AgentRequest) -> str:
        return split_model(request.model)[0]

    def _reading(self, request: AgentRequest) -> OpencodeStream:
        return OpencodeStream(self._provider(request))

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        provider, model = split_model(request.model)
        # A title of ours saves a model call for one of its own.
        session = ["-s", request.resume.session_id] if request.resume else ["--title", "rover"]
        argv = [
            self._program,
            "run",
            *("--format", "json"),
            # Shows what it retries, which nothing else does, and the session's id at once.
            *("--print-logs", "--log-level", "INFO"),
            *("-m", f"{provider}/{model}"),
            *session,
        ]
        config = _config(request, provider, model)
        return argv, {**_ENVIRONMENT, "OPENCODE_CONFIG_CONTENT": config}


def split_model(model: str | None) -> tuple[str, str]:
    """The provider and its model; a name without a provider is one of Anthropic's."""
    prefix, slash, rest = (model or DEFAULT_MODEL).partition("/")
    if slash and rest and prefix in _BASES:
        return prefix, rest
    return "anthropic", model or DEFAULT_MODEL


def _config(request: AgentRequest, provider: str, model: str) -> str:
    options = {"baseURL": f"{request.base_url}{_BASES[provider]}", "apiKey": request.token}
    return json.dumps(
        {
            "provider": {provider: {"options": options, "models": {model: {}}}},
            "enabled_providers": [provider],
            "model": f"{provider}/{model}",
            "small_model": f"{provider}/{model}",
            # The sandbox is what protects: it holds nothing but the task.
            "permission": "allow",
            "autoupdate": False,
            "share": "disabled",
        }
    )
