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

# Those that speak the Agent Client Protocol: the known ones, then what the user's configuration
# names, which a process is told once, when it starts.
_acp: dict[str, AcpProgram] = dict(KNOWN)


class UnknownAgent(ValueError):
    """No driver has that name; the message lists those there are."""


def define_agents(programs: Mapping[str, AcpProgram]) -> None:
    """Name the user's own agents. One of a known program's name replaces it; the agents that have
    a driver of their own keep it."""
    _acp.clear()
    _acp.update({**KNOWN, **programs})


def acp_program(name: str) -> AcpProgram | None:
    """How an agent is started that speaks the Agent Client Protocol; None for any other."""
    return None if name in _DRIVERS else _acp.get(name)


def agent_names() -> tuple[str, ...]:
    """Every agent that there is a driver for."""
    return tuple(sorted({*_DRIVERS, *_acp}))


def agent_provider(name: str, model: str | None = None) -> str | None:
    """Whose API an agent calls, by the provider's name; None for one that works offline. For some
    the model decides."""
    if name == "opencode":
        prefix = (model or "").partition("/")[0]
        return prefix if prefix in _KNOWN_PROVIDERS else "anthropic"
    if name == "copilot":
        return "anthropic" if (model or "").startswith("claude") else "openai"
    program = acp_program(name)
    return program.provider if program else _PROVIDERS.get(name)


def agent_models(name: str) -> tuple[str, ...]:
    """What an agent's own program calls its models, whichever versions these stand for; empty where
    it has no such names."""
    return _MODELS.get(name, ())


def make_agent(name: str, spec_folder: Path) -> Agent:
    """The driver of an agent. `spec_folder` is where the scripted one finds its script.

    Raises:
        UnknownAgent: there is none of that name.
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
