"""docs/settings.md, made from the settings and their docstrings."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from typing import cast

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


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings of a model's fields. The models of the runner do not read their own source for
    them, which would make every start of a runner later."""
    found: dict[str, str] = {}
    tree = cast("ast.ClassDef", ast.parse(inspect.getsource(model)).body[0])
    for field, after in pairwise(tree.body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
            case _:
                pass
    return found


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
        written = _docstrings(model)
        for key, field in model.model_fields.items():
            if not field.exclude:
                meaning = field.description or written.get(key, "")
                page.append(f"| `{key}` | {_shown(field.default)} | {meaning} |")
    return "\n".join([*page, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")
