"""docs/settings.md, made from the settings and their docstrings."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agent_runner.acp_programs import AcpProgram
from agent_runner.spec import CommitStyle, RunLimits
from rover_mcp.config.allowed_secrets import AllowedSecret
from rover_mcp.config.hooks import CommandHook, DesktopHook, HookRetry, WebhookHook
from rover_mcp.config.http import HttpSettings, HttpToken
from rover_mcp.config.settings import CredentialSource, LogSettings, RetrySettings, Settings
from rover_mcp.config.trusted_projects import TrustedProject
from rover_mcp.domain.model_rates import Rates
from rover_mcp.domain.network_policy import NetworkPolicy


def _shown(default: object) -> str:
    if default in (PydanticUndefined, None, (), "") or isinstance(default, BaseModel):
        return ""
    return f"`{default}`"


def as_markdown() -> str:
    """docs/settings.md."""
    page = [
        "# Settings",
        "",
        "`config.yaml` in the data folder: `~/.local/share/rover`, or `$ROVER_HOME`. The daemon",
        "reads it when it starts; after a change one that has nothing to do gives way to a new one",
        "at the next call, and a busy one says so (`rover status`). Where it cannot be used, a",
        "daemon that starts serves the tasks that there are by the last one that could",
        "(`config.last.yaml`), makes no new ones, and says so (`rover status`,",
        "`rover config check`). Generated from",
        "`rover_mcp/config/settings.py`; a test fails when it differs.",
    ]
    tables = {
        "": Settings,
        "retry": RetrySettings,
        "limits": RunLimits,
        "network": NetworkPolicy,
        "commits": CommitStyle,
        "trusted_projects": TrustedProject,
        "allowed_secrets": AllowedSecret,
        "credentials": CredentialSource,
        "prices: provider: model": Rates,
        "agent_programs": AcpProgram,
        "hooks: kind: desktop": DesktopHook,
        "hooks: kind: webhook": WebhookHook,
        "hooks: kind: command": CommandHook,
        "hook_retry": HookRetry,
        "http": HttpSettings,
        "http.tokens": HttpToken,
        "log": LogSettings,
    }
    for name, model in tables.items():
        if name:
            page += ["", f"## {name}"]
        page += ["", "| name | default | meaning |", "|---|---|---|"]
        for key, field in model.model_fields.items():
            if not field.exclude:
                page.append(f"| `{key}` | {_shown(field.default)} | {field.description or ''} |")
    return "\n".join([*page, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")
