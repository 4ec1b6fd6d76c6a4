"""Checks what a call says about a new task, as far as the call alone tells. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents import agent_provider
from agent_runner.workflow.agents import agents_of
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.ids import nearest
from rover_mcp.domain.network_policy import IF_ALLOWED
from rover_mcp.domain.text import plain
from rover_mcp.tasks.catalog import CatalogEntry


@dataclass(frozen=True)
class CreateRequest:
    """What a caller asks for. None means the default."""

    description: str
    repo_path: str | None = None
    options: TaskOptions = field(default_factory=TaskOptions)
    base_branch: str | None = None
    """a branch, tag or commit; or `task:N`, the result of another task"""
    after: Sequence[str] = ()
    """the tasks that have to be completed before this one starts"""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    request_key: str | None = None
    script: str | None = None
    context: Sequence[str] = ()
    """issues, requests, pages and files for the agent to read"""
    context_authors: Sequence[str] = ()
    """whose comments are read beside those of people with a role; `all`: everybody's"""
    racers: int = 1
    """how many tasks are created alike, each with an agent of its own"""
    consent: str | None = None
    """the digest of the question that a person said yes to; a caller cannot set it"""
    unasked: bool = False
    """the user could not be asked: a setup that no one has trusted is left out"""


def check_works_without(entry: CatalogEntry, agents: Sequence[str]) -> None:
    """Check that no agent of the task needs a provider, because `network: none` reaches none.

    Raises:
        UserFixable: one does.
    """
    used = {(agent, None) for agent in agents}
    if entry.workflow:
        used = used.union(*(agents_of(entry.workflow, agent, None) for agent in agents))
    for agent, model in sorted(used, key=str):
        check_needs_no_provider(agent, model)


def check_needs_no_provider(agent: str, model: str | None = None) -> None:
    """Check that the agent works without a model API. Raises UserFixable where it does not."""
    if provider := agent_provider(agent, model):
        raise UserFixable(
            f"with network: none nothing can be reached, and {agent} needs {provider}",
            code="network_none",
            hint="use network: providers, which lets it reach its model API and nothing else, and "
            f"{IF_ALLOWED}",
        )


def title_of(description: str) -> str:
    """The first line of a description that has any text. Raises UserFixable where none has."""
    lines = (" ".join(line.split()) for line in plain(description).splitlines())
    line = next(filter(None, lines), "")
    if not line:
        raise UserFixable(
            "the description is empty",
            hint="say what the agent should do; for example "
            '{"description": "Fix the failing test in tests/test_sum.py"}',
            code="invalid_description",
        )
    return line if len(line) <= 72 else line[:71].rstrip() + "…"


def _meant_inputs(given: Mapping[str, str], declared: Collection[str]) -> dict[str, Any]:
    """What an error about unknown inputs proposes: the call with the declared names that are
    similar, if every unknown name has one and no value is lost."""
    near = {name: name if name in declared else nearest(name, declared) for name in given}
    names = [name for name in near.values() if name]
    if len(set(names)) < len(given):
        return {"next_call": {"tool": "list_workflows", "arguments": {}}}
    return {"instead": {"inputs": {str(near[name]): value for name, value in given.items()}}}


def inputs_of(entry: CatalogEntry, request: CreateRequest) -> dict[str, str]:
    """The workflow's inputs with their defaults; `description` comes from the request."""
    declared = {i.name: i for i in entry.workflow.inputs} if entry.workflow else {}
    if unknown := sorted(set(request.inputs) - set(declared)):
        raise UserFixable(
            f"the workflow {entry.name} has no input {', '.join(unknown)}; "
            f"it has: {', '.join(declared) or 'none'}",
            code="invalid_inputs",
            **_meant_inputs(request.inputs, declared),
        )
    missing = [
        name
        for name, i in declared.items()
        if i.required and i.default is None and name not in request.inputs
        and name != "description"
    ]  # fmt: skip
    if missing:
        raise UserFixable(
            f"the workflow {entry.name} needs the input {', '.join(missing)}",
            code="invalid_inputs",
            hint=f"pass inputs={{{', '.join(repr(m) + ': ...' for m in missing)}}}",
        )
    values = {name: i.default for name, i in declared.items() if i.default is not None}
    if "description" in declared:
        values["description"] = request.description
    return values | dict(request.inputs)
