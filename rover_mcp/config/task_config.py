"""What was decided when a task was made, out of the call, the project's configuration and the
user's: kept with the task, so that a resume days later does the same. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from rover_mcp.config.project import HooksConfig, LimitsConfig, SetupConfig
from rover_mcp.config.values import DevcontainerUse


class Origin(StrEnum):
    """Where a setting came from, the strongest first."""

    CALL = "call"
    PROJECT = "project"
    USER = "user"
    DEFAULT = "default"


class ContextEntry(BaseModel):
    """One file that a task is given to read, kept in its folder. `bytes` and `sha256` are of the
    file; `left_out` counts comments by people without a role in the project."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    origin: str
    title: str
    bytes: int
    sha256: str
    fetched_at: datetime
    left_out: int = 0
    cut: bool = False


# Stored with the task, so that a resume days later does the same, whatever the files say by then.
class TaskConfig(BaseModel):
    """What the project's configuration adds to a task, as its record holds it. Limits that it
    does not name are the user's of the day; those that it names are never more than these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str | None = None
    """of the file's content; None: there was none"""
    image: str | None = None
    limits: LimitsConfig = LimitsConfig()
    environment: dict[str, str] = Field(default_factory=dict[str, str])
    copies: tuple[str, ...] = ()
    context: tuple[ContextEntry, ...] = ()
    """what the agent is given to read beside the description"""
    setup: SetupConfig | None = None
    devcontainer: DevcontainerUse = "all"
    without_setup: bool = False
    """no one had trusted the setup, and the user could not be asked: none of its commands runs"""
    hooks: HooksConfig = HooksConfig()
    origins: dict[str, Origin] = Field(default_factory=dict[str, Origin])
    """of what the task's own columns hold (agent, model, workflow, engine, budget, network), and of
    `devcontainer`"""
    workflow_file: str | None = None
    """the workflow's file, where that is one of the project's own"""
    ignored: bool = False
    """what the project asks for beyond the user's defaults was left out, setup included"""
