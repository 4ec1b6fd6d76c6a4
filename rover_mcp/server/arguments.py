"""What each tool takes. Unknown keys are refused; descriptions are read by models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rover_mcp.tasks.models import TaskStatus


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _text_of(value: object) -> object:
    """A number as a model may give it for the text that it stands for."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _list_of(value: object) -> object:
    """A single text as a model may give it for a list of one."""
    return [value] if isinstance(value, str) else value


TaskName = Annotated[
    str,
    BeforeValidator(_text_of),
    Field(max_length=240, description="its id, or its number in the project"),
]
RepoPath = Annotated[
    str | None,
    Field(max_length=4096, description="the repository; default: the working folder"),
]


BudgetUsd = Annotated[
    float | None,
    Field(
        gt=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="pause and ask before the next step once the task has cost this much",
    ),
]
BudgetTokens = Annotated[
    int | None, Field(gt=0, le=10**12, description="the same in tokens, of all kinds together")
]


class NoArguments(Arguments):
    pass


class CreateTaskArguments(Arguments):
    description: str = Field(
        max_length=50_000,
        description="what to do, as you would brief a colleague; first line = title",
    )
    repo_path: RepoPath = None
    workflow: str | None = Field(
        None, max_length=100, description="default swe; see list_workflows"
    )
    agent: str | None = Field(
        None,
        max_length=200,
        description="default claude; get_status lists all; 'a, b': b while a's account is closed",
    )
    model: str | None = Field(
        None, max_length=100, description="the agent's model; default its own"
    )
    base_branch: str | None = Field(
        None, max_length=250, description="branch, tag or commit to start from; default HEAD"
    )
    inputs: dict[str, str] = Field(
        default_factory=dict[str, str], description="the workflow's inputs by name"
    )
    engine: Literal["auto", "docker", "podman", "bubblewrap", "process"] | None = Field(
        None, description="what runs the sandbox; default the first that works"
    )
    network: Literal["none", "providers", "allowlist", "open"] | None = Field(
        None, description="what the sandbox may reach; default the user's, allowlist"
    )
    budget_usd: BudgetUsd = None
    budget_tokens: BudgetTokens = None
    auto_resume: bool = Field(True, description="go on by itself after a pause that time ends")
    request_key: str | None = Field(
        None, max_length=200, description="the same key again returns the same task"
    )
    project_config: Literal["apply", "ignore"] = Field(
        "apply", description="ignore leaves out what the repository asks for and nobody trusted"
    )
    devcontainer: Literal["off", "image", "all"] | None = Field(
        None, description="of devcontainer.json: nothing, no commands, all; default the project's"
    )
    script: str | None = Field(
        None, max_length=200_000, description="YAML for the agent scripted (docs/workflows.md)"
    )


class ListTasksArguments(Arguments):
    status: Annotated[list[TaskStatus], BeforeValidator(_list_of)] = Field(
        default_factory=list[TaskStatus], max_length=9, description="only these; default all"
    )
    repo_path: str | None = Field(None, max_length=4096, description="only this repository's tasks")
    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before")
    limit: int | None = Field(
        None, ge=1, le=100, description="tasks on a page; default: up to 20 that fit 2,000 tokens"
    )


class TaskArguments(Arguments):
    task: TaskName
    repo_path: RepoPath = None


class InspectArguments(TaskArguments):
    detail: Literal["concise", "full"] = Field(
        "concise", description="full adds outputs, changes and events"
    )


class WaitArguments(TaskArguments):
    timeout_s: float = Field(45, ge=0, le=45, description="seconds; call again to wait on")
    after_seq: int | None = Field(
        None, ge=0, description="return at once if anything notable happened after this event"
    )


class LogsArguments(TaskArguments):
    step: str | None = Field(None, max_length=200, description="default: the step that wrote last")
    tail: int = Field(100, ge=1, le=2000, description="lines from the end")


class DiffArguments(TaskArguments):
    paths: Annotated[list[str], BeforeValidator(_list_of)] = Field(
        default_factory=list[str], max_length=100, description="only these"
    )
    stat_only: bool = Field(False, description="totals and files without the patch")
    offset: int = Field(0, ge=0, description="list the files from this one on; the first is 0")


class DeleteArguments(TaskArguments):
    confirm: bool = Field(False, description="false only says what would be lost")


class ResumeArguments(TaskArguments):
    when: Literal["now", "at_reset"] = Field("now", description="at_reset: by itself, at retry_at")
    agent: str | None = Field(
        None, max_length=100, description="another agent goes on; default the same"
    )
    accept: bool = Field(False, description="paused for needs_look: deliver it")
    budget_usd: BudgetUsd = None
    budget_tokens: BudgetTokens = None


class AutoResumeArguments(Arguments):
    enabled: bool = Field(description="false: paused tasks wait for resume_task")
    scope: Literal["task", "project", "all"] = Field("task", description="whose switch it is")
    task: TaskName | None = None
    repo_path: RepoPath = None


class WorkflowsArguments(Arguments):
    repo_path: RepoPath = None
