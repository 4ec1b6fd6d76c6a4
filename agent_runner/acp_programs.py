"""Agents that speak the Agent Client Protocol, as data: command, environment, provider.

Any such agent can be driven (acp.py). Those below are known; a user names others in config.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Provider = Literal["anthropic", "openai", "google"]

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "anthropic": {
        "ANTHROPIC_BASE_URL": "{base_url}/anthropic",
        "ANTHROPIC_API_KEY": "{token}",
    },
    "openai": {"OPENAI_BASE_URL": "{base_url}/openai/v1", "OPENAI_API_KEY": "{token}"},
    "google": {"GOOGLE_GEMINI_BASE_URL": "{base_url}/google", "GEMINI_API_KEY": "{token}"},
}
"""The variables that lead most agents to the gateway, by provider."""


class AcpProgram(BaseModel):
    """One agent. In `environment` and `model_arguments`, {base_url} is the gateway, {token} the
    task's own token, {model} the model; what names a model is left out if there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    acp: tuple[str, ...] = Field(min_length=1)
    """what starts it, as a program and its arguments"""
    provider: Provider | None = None
    """whose API it calls, through the gateway"""
    environment: dict[str, str] = Field(default_factory=dict)
    """beside what its provider needs"""
    model: str | None = None
    """the model if a task names none"""
    model_arguments: tuple[str, ...] = ()
    """the arguments that name the model"""
    files: bool = False
    """whether it is offered that the runner reads and writes files for it. It can do so itself: it
    is in the same sandbox, and Gemini CLI 0.61 that is offered this creates no new file"""
    mode: str | None = None
    """the session mode in which it asks nothing, if it has modes"""
    auth_method: str | None = None
    """how it is to authenticate itself, if it asks"""

    def argv(self, model: str | None) -> list[str]:
        """The argument list."""
        named = model or self.model
        more = [a.replace("{model}", named) for a in self.model_arguments] if named else []
        return [*self.acp, *more]

    def environ(self, base_url: str, token: str, model: str | None) -> dict[str, str]:
        """The environment with its placeholders replaced; text that is put in is not replaced."""
        named = model or self.model
        all_of_it = {**ENVIRONMENTS.get(self.provider or "", {}), **self.environment}
        return {
            name: _filled(value, {"base_url": base_url, "token": token, "model": named or ""})
            for name, value in all_of_it.items()
            if named or "{model}" not in value
        }


def _filled(text: str, values: Mapping[str, str]) -> str:
    head, opening, rest = text.partition("{")
    if not opening:
        return head
    name, closing, after = rest.partition("}")
    if closing and name in values:
        return head + values[name] + _filled(after, values)
    return head + "{" + _filled(rest, values)


# Constants, which a test validates: here it would cost each start of a runner.
KNOWN: Mapping[str, AcpProgram] = {
    # Neither could be tried with the real program: no registry that we use has them.
    "goose": AcpProgram.model_construct(
        acp=("goose", "acp"),
        provider="openai",
        environment={
            "GOOSE_PROVIDER": "openai",
            "GOOSE_MODEL": "{model}",
            "GOOSE_MODE": "auto",
            "GOOSE_DISABLE_KEYRING": "1",
            "OPENAI_HOST": "{base_url}/openai",
            "OPENAI_BASE_PATH": "v1/chat/completions",
        },
        model="gpt-5",
    ),
    # Its models are behind its own service, which the network policy must allow.
    "cursor": AcpProgram.model_construct(acp=("cursor-agent", "acp")),
}
