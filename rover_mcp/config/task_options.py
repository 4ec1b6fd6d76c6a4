"""The options of a task: what the tool's arguments, the project's file and the user's settings can
each say about how a task is run.

An option is added here, as an argument of `create_task` and as a flag of `rover create`. One that
has no column of its own in the store is added to TaskConfig under the same name as well, and is
then resolved, stored and shown without further code; one that RunSpec has too reaches the runner.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent_runner.models import Budget
from rover_mcp.config.values import DevcontainerUse


class TaskOptions(BaseModel):
    """What a call says about how a task is run. None or empty: nothing, so that the project, the
    user or the default decides."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )

    agents: tuple[str, ...] = ()
    """in the order in which they may take over"""
    model: str | None = None
    """of the first agent"""
    workflow: str | None = None
    """the name of a workflow"""
    engine: str | None = None
    """what runs the sandbox"""
    budget: Budget | None = None
    """what the task may cost before it pauses"""
    network: str | None = None
    """a NetworkMode"""
    devcontainer: DevcontainerUse | None = None
    """what of the repository's devcontainer.json counts"""
    auto_resume: bool = True
    """whether the task resumes automatically after a pause that time ends"""
    project_config: Literal["apply", "ignore"] = "apply"
    """ignore: what the project asks for beyond the user's defaults is left out"""
