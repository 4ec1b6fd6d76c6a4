"""Adapts this machine's engines and agents to the use cases."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from agent_runner.agents import agent_models, agent_names, agent_provider
from rover_mcp.config import client_programs
from rover_mcp.gateway.prices import PriceList, price_list
from rover_mcp.sandbox import agent_programs
from rover_mcp.sandbox.engines import select_engine
from rover_mcp.sandbox.pinned_agents import default_models
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.tasks.task_ports import AgentProgram


class EngineChoice:
    """The engines of this machine."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines

    def select(self, wanted: str) -> Engine:
        return select_engine(self._engines, wanted)


_PRICED_AGENTS = {"claude": "anthropic", "codex": "openai", "gemini": "google"}
"""Agents whose provider does not depend on the model, and that use its names for models."""


class HostAgents:
    """The agents that the runner can drive, their programs on this host, and the prices of their
    models."""

    def __init__(self, prices: PriceList | None = None) -> None:
        self._prices = prices or price_list()

    def known(self) -> Collection[str]:
        return agent_names()

    def binary(self, agent: str, path: str | None) -> Path | None:
        if agent_provider(agent) is None:
            return None
        program = shutil.which(agent_programs.program_of(agent) or agent, path=path)
        return Path(program) if program else None

    def program(self, agent: str, path: str | None) -> AgentProgram:
        if agent in agent_programs.BUILT_IN_AGENTS:
            return AgentProgram("built-in")
        name = agent_programs.program_of(agent) or agent
        pinned = agent_programs.pinned_version(name)
        installed = shutil.which(name, path=path)
        if own := agent_programs.own_program(name, Path(installed) if installed else None):
            return AgentProgram("own", agent_programs.version_of(own, own.stat().st_mtime_ns), own)
        if agent_programs.cached_bundle(name):
            return AgentProgram("fetched", pinned)
        if pinned is None:
            return AgentProgram("image")
        # The daemon fetches it, with the npm that it finds.
        source = "npm" if client_programs.find("npm") else None
        install, size = agent_programs.install_command(name), agent_programs.size_of(name)
        return AgentProgram(source, pinned, install=install, size=size)

    def unpriced(self, agent: str, model: str | None) -> Sequence[tuple[str, str]]:
        provider = agent_provider(agent, model)
        if provider is None:
            return ()
        # A name without a digit is an alias, such as "opus": only the agent's program knows which
        # model it stands for.
        names = ([model] if re.search(r"\d", model) else []) if model else default_models(agent)
        return [(provider, name) for name in names if self._prices.find(provider, name) is None]

    def models(self, agent: str, *, own_api: bool) -> Sequence[str]:
        if not own_api:
            # Only the user's configuration says what another service calls its models.
            return (*self._prices.own.get(agent_provider(agent) or "", {}),)
        provider = _PRICED_AGENTS.get(agent)
        return (*agent_models(agent), *(self._prices.models(provider) if provider else ()))
