"""The arguments of each tool. Unknown names are refused. Models read the descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from agent_runner.models import Budget
from agent_runner.spec import ReviewComment
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.server import argument_repair

LONGEST_WAIT = 3600


class Arguments(BaseModel):
    # An unknown argument is refused and not ignored: a misspelled budget would otherwise be no
    # budget.
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _repaired(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        return argument_repair.repaired(cls.model_fields, cast("Mapping[str, Any]", given))


TaskName = Annotated[
    str,
    BeforeValidator(argument_repair.task_text),
    Field(max_length=240, description="id or number"),
]
RepoPath = Annotated[
    str | None,
    Field(max_length=4096, description="default: here"),
]


BudgetUsd = Annotated[
    float | None,
    Field(
        gt=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="pause between steps at this cost",
    ),
]
BudgetTokens = Annotated[int | None, Field(gt=0, le=10**12, description="the same in tokens")]


class NoArguments(Arguments):
    pass


def _budget(usd: float | None, tokens: int | None) -> Budget | None:
    return None if usd is None and tokens is None else Budget(usd=usd, tokens=tokens)


Agents = Annotated[list[str], BeforeValidator(argument_repair.name_list)]


class CreateTaskArguments(Arguments):
    description: str = Field(
        max_length=50_000,
        description="what to do, as you would brief a colleague; first line = title",
    )
    repo_path: RepoPath = None
    workflow: str | None = Field(
        None, max_length=100, description="default swe; see list_workflows"
    )
    agent: Annotated[str | None, BeforeValidator(argument_repair.names_in_order)] = Field(
        None,
        max_length=200,
        description="default claude; get_status lists all; 'a, b': b while a's account is closed",
    )
    agents: Agents = Field(
        default_factory=list[str],
        max_length=20,
        description="race: a task for each; inspect compares",
    )
    model: str | None = Field(None, max_length=100, description="default the agent's own")
    base_branch: str | None = Field(
        None, max_length=250, description="branch, tag, commit or task:3; default HEAD"
    )
    after: Annotated[list[str], BeforeValidator(argument_repair.task_list)] = Field(
        default_factory=list, max_length=20, description="tasks to be COMPLETED first"
    )
    context: Annotated[list[str], BeforeValidator(argument_repair.items)] = Field(
        default_factory=list,
        max_length=20,
        description="to read: github:issue/12, gitlab:mr/7, web addresses, files",
    )
    context_authors: Annotated[list[str], BeforeValidator(argument_repair.items)] = Field(
        default_factory=list,
        max_length=50,
        description="whose comments count beside members'; or all",
    )
    inputs: Annotated[dict[str, str], BeforeValidator(argument_repair.inputs)] = Field(
        default_factory=dict[str, str], description="the workflow's inputs by name"
    )
    engine: Annotated[
        Literal["auto", "docker", "podman", "bubblewrap", "process"] | None,
        BeforeValidator(
            argument_repair.choice(
                "auto", "docker", "podman", "bubblewrap", "process", bwrap="bubblewrap"
            )
        ),
    ] = Field(None, description="default the first that works")
    network: Annotated[
        Literal["none", "providers", "allowlist", "open"] | None,
        BeforeValidator(argument_repair.choice("none", "providers", "allowlist", "open")),
    ] = Field(None, description="what it may reach; default the user's, allowlist")
    budget_usd: BudgetUsd = None
    budget_tokens: BudgetTokens = None
    auto_resume: bool = Field(True, description="resume automatically where time ends the pause")
    request_key: str | None = Field(
        None, max_length=200, description="the same key again returns the same task"
    )
    project_config: Annotated[
        Literal["apply", "ignore"], BeforeValidator(argument_repair.choice("apply", "ignore"))
    ] = Field(
        "apply",
        description="ignore: without what the user has not approved",
    )
    devcontainer: Annotated[
        Literal["off", "image", "all"] | None,
        BeforeValidator(argument_repair.choice("off", "image", "all", none="off")),
    ] = Field(
        None,
        description="use of devcontainer.json: nothing, all but commands, all",
    )
    script: str | None = Field(None, max_length=200_000, description="YAML for agent scripted")

    @property
    def options(self) -> TaskOptions:
        """The task's options among the arguments. Agents and the budget are flat fields here,
        because models fill in a flat field more reliably than a nested one. The `agents` of a race
        are several tasks and no option of one."""
        agents = [name for part in (self.agent or "").split(",") if (name := part.strip())]
        same = (TaskOptions.model_fields.keys() & type(self).model_fields.keys()) - {"agents"}
        values = {name: getattr(self, name) for name in same}
        budget = _budget(self.budget_usd, self.budget_tokens)
        return TaskOptions(**values, agents=tuple(agents), budget=budget)


class ListTasksArguments(Arguments):
    status: Annotated[list[TaskStatus], BeforeValidator(argument_repair.statuses(TaskStatus))] = (
        Field(default_factory=list[TaskStatus], max_length=9, description="only these; default all")
    )
    repo_path: RepoPath = None
    all_projects: bool = Field(False, description="of all repositories")
    cursor: str | None = Field(None, max_length=200, description="next_cursor")
    limit: Annotated[int | None, BeforeValidator(argument_repair.within(1, 100))] = Field(
        None, description="default: what fits 2,000 tokens"
    )


class TaskArguments(Arguments):
    task: TaskName
    repo_path: RepoPath = None


class InspectArguments(TaskArguments):
    detail: Annotated[
        Literal["concise", "full"],
        BeforeValidator(
            argument_repair.choice(
                "concise",
                "full",
                all="full",
                detailed="full",
                verbose="full",
                brief="concise",
                short="concise",
                summary="concise",
            )
        ),
    ] = Field("concise", description="full adds outputs, changes and events")


class WaitArguments(Arguments):
    task: Annotated[
        list[Annotated[str, Field(max_length=240)]],
        BeforeValidator(argument_repair.task_list),
        WithJsonSchema({"type": "string"}),
        Field(max_length=50, description='or several: "1, 2"; default any of yours'),
    ] = Field(default_factory=list[str])
    repo_path: RepoPath = None
    timeout_s: Annotated[float, BeforeValidator(argument_repair.seconds(LONGEST_WAIT))] = Field(
        45, description="seconds, at most 3600"
    )
    after_seq: Annotated[int | None, BeforeValidator(argument_repair.within(0, 2**62))] = Field(
        None, description="return at once after a later event"
    )


class LogsArguments(TaskArguments):
    step: str | None = Field(None, max_length=200, description="default: the last that wrote")
    tail: Annotated[int, BeforeValidator(argument_repair.within(1, 2000))] = Field(
        100, description="lines from the end"
    )


class DiffArguments(TaskArguments):
    paths: Annotated[list[str], BeforeValidator(argument_repair.items)] = Field(
        default_factory=list[str], max_length=100, description="only these"
    )
    stat_only: bool = Field(False, description="without the patch")
    offset: Annotated[int, BeforeValidator(argument_repair.within(0, 10**9))] = Field(
        0, description="list files from this one on"
    )


class DeleteArguments(TaskArguments):
    confirm: bool = Field(False, description="do it")
    restore: bool = Field(False, description="undelete")
    others: bool = Field(False, description="keep it, delete the rest of its race")
    branch: bool = Field(False, description="its branch, too")

    @property
    def deletes(self) -> bool:
        """Whether a person has to be asked."""
        return self.confirm and not self.restore


class MergeArguments(TaskArguments):
    into: str | None = Field(None, max_length=250, description="default its base branch")
    mode: Annotated[
        Literal["merge", "squash", "ff"],
        BeforeValidator(argument_repair.choice("merge", "squash", "ff", fast_forward="ff")),
    ] = "merge"
    message: str | None = Field(None, max_length=20_000, description="the commit's")
    accept: Annotated[list[str], BeforeValidator(argument_repair.items)] = Field(
        default_factory=list[str], max_length=1000, description="what has to be named"
    )
    delete_branch: bool = Field(False, description="after it")
    confirm: bool = Field(False, description="do it")


class RebaseArguments(TaskArguments):
    onto: str | None = Field(None, max_length=250, description="default its base")
    resolve: bool = Field(False, description="conflicts, by an agent")
    confirm: bool = Field(False, description="do it")


class PushArguments(TaskArguments):
    remote: str | None = Field(None, max_length=200, description="default git's")
    branch: str | None = Field(None, max_length=250, description="its name there")
    accept: Annotated[list[str], BeforeValidator(argument_repair.items)] = Field(
        default_factory=list[str], max_length=1000, description="what has to be named"
    )
    confirm: bool = Field(False, description="do it")


class ResumeArguments(TaskArguments):
    when: Annotated[
        Literal["now", "at_reset"],
        BeforeValidator(
            argument_repair.choice("now", "at_reset", immediately="now", reset="at_reset")
        ),
    ] = Field("now", description="at_reset: automatically, at retry_at")
    agent: str | None = Field(None, max_length=100, description="default the same")
    model: str | None = Field(None, max_length=100, description="default the same")
    accept: bool = Field(False, description="deliver a task paused for needs_look")
    budget_usd: BudgetUsd = None
    budget_tokens: BudgetTokens = None

    @property
    def budget(self) -> Budget | None:
        """The larger budget that the call gives, if it gives one."""
        return _budget(self.budget_usd, self.budget_tokens)


Comment = Annotated[
    ReviewComment,
    BeforeValidator(argument_repair.comment),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "file": {"type": "string"},
                "line": {"type": "integer"},
                "text": {"type": "string"},
            },
            "required": ["file", "text"],
        }
    ),
]


class IterateArguments(TaskArguments):
    instructions: str = Field("", max_length=50_000, description="what to change")
    comments: Annotated[list[Comment], BeforeValidator(argument_repair.items)] = Field(
        default_factory=list[ReviewComment], max_length=200, description="on lines of the diff"
    )
    from_snapshot: str | None = Field(
        None, max_length=100, description="go back to it first (get_history)"
    )


class ForkArguments(TaskArguments):
    snapshot: str | None = Field(None, max_length=100, description="default the newest")
    instructions: str = Field("", max_length=50_000, description="default: what was left to do")
    agent: Annotated[str | None, BeforeValidator(argument_repair.names_in_order)] = Field(
        None, max_length=200, description="default the same"
    )
    agents: Agents = Field(default_factory=list[str], max_length=20, description="race")


class HistoryArguments(TaskArguments):
    snapshot: str | None = Field(None, max_length=100, description="show its diff")


class AutoResumeArguments(Arguments):
    enabled: bool = Field(description="false: paused tasks wait for resume_task")
    scope: Annotated[
        Literal["task", "project", "all"],
        BeforeValidator(argument_repair.choice("task", "project", "all", repository="project")),
    ] = Field("task", description="whose switch it is")
    task: TaskName | None = None
    repo_path: RepoPath = None


class WorkflowsArguments(Arguments):
    repo_path: RepoPath = None
