"""The agents that this runner can drive, by name. A driver is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from agent_runner.acp_programs import KNOWN, AcpProgram
from agent_runner.agents.protocol import Agent
from agent_runner.models import SCRIPTED

_DRIVERS = {
    "claude": ("agent_runner.agents.claude", "ClaudeAgent"),
    "codex": ("agent_runner.agents.codex", "CodexAgent"),
    "copilot": ("agent_runner.agents.copilot", "CopilotAgent"),
    "gemini": ("agent_runner.agents.gemini", "GeminiAgent"),
    "opencode": ("agent_runner.agents.opencode", "OpencodeAgent"),
    "qwen": ("agent_runner.agents.qwen", "QwenAgent"),
    "scripted": ("agent_runner.agents.scripted", "ScriptedAgent"),
}

_PROVIDERS = {"claude": "anthropic", "codex": "openai", "gemini": "google", "qwen": "openai"}
_MODELS = {"claude": ("opus", "sonnet", "haiku")}
_KNOWN_PROVIDERS = ("anthropic", "openai", "google")

# Those that speak the Agent Client Protocol: the known ones, then those of the user's
# configuration, which a process reads once, when it starts.
_acp: dict[str, AcpProgram] = dict(KNOWN)


class UnknownAgent(ValueError):
    """An agent without a driver; the message lists the names that have one."""


def define_agents(programs: Mapping[str, AcpProgram]) -> None:
    """Register the user's own agents. One with a known program's name replaces that program; an
    agent with a driver of its own keeps the driver."""
    _acp.clear()
    _acp.update({**KNOWN, **programs})


def acp_program(name: str) -> AcpProgram | None:
    """How to start an agent that speaks the Agent Client Protocol; None for any other agent."""
    return None if name in _DRIVERS else _acp.get(name)


def agent_names() -> tuple[str, ...]:
    """The names of all agents that have a driver, sorted."""
    return tuple(sorted({*_DRIVERS, *_acp}))


def agent_provider(name: str, model: str | None = None) -> str | None:
    """The provider whose API an agent calls; None for an agent that works offline. For opencode and
    Copilot the model decides."""
    if name == "opencode":
        prefix = (model or "").partition("/")[0]
        return prefix if prefix in _KNOWN_PROVIDERS else "anthropic"
    if name == "copilot":
        return "anthropic" if (model or "").startswith("claude") else "openai"
    program = acp_program(name)
    return program.provider if program else _PROVIDERS.get(name)


def agent_models(name: str) -> tuple[str, ...]:
    """The names that an agent's own program has for its newest models, such as `opus`; empty if it
    has none."""
    return _MODELS.get(name, ())


def make_agent(name: str, spec_folder: Path) -> Agent:
    """Make the driver of an agent. `spec_folder` is where the scripted agent finds its script.

    Raises:
        UnknownAgent: no driver has that name.
    """
    if program := acp_program(name):
        acp = import_module("agent_runner.agents.acp")
        spoken: Agent = acp.AcpAgent(name, program)
        return spoken
    if name not in _DRIVERS:
        raise UnknownAgent(f"unknown agent {name!r}; known: {', '.join(agent_names())}")
    module, attribute = _DRIVERS[name]
    driver = getattr(import_module(module), attribute)
    agent: Agent = driver(spec_folder / "script.yaml") if name == SCRIPTED else driver()
    return agent
