"""`rover create --dry-run`: which steps would run, with invented outputs. No daemon is needed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent_runner.json_object import Json
from agent_runner.run.rehearsal import RehearsedStep, rehearse
from agent_runner.workflow.agents import chosen
from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import (
    AgentStep,
    InputError,
    LoopStep,
    Workflow,
    WorkflowError,
    resolve_inputs,
)
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.config_command import root_here
from rover_mcp.cli.terminal_text import Paint, clean, json_text, shorten, wrap
from rover_mcp.cli.workflow_files import found
from rover_mcp.config.load_project import load_config

DEFAULT = "swe"
LINES = 3
"""How many lines of a prompt or a command are shown; --json has all of them."""
MAX_TITLE = 72
INTRODUCTION = (
    "What would run. No agent is asked and no command runs: outputs are invented, and each "
    "command is assumed to succeed, unless a loop waits for its failure."
)


def dry_run(args: argparse.Namespace, description: str, given: Mapping[str, str]) -> int:
    """Show what a task would do.

    Raises:
        ClientError: its workflow or its inputs are wrong.
    """
    name, workflow = _workflow(args)
    title = description.strip().partition("\n")[0][:MAX_TITLE]
    task = {"title": title, "description": description, "base_commit": "BASE_COMMIT"}
    try:
        inputs = resolve_inputs(workflow, {"title": title, "description": description, **given})
    except InputError as error:
        raise ClientError(str(error), code="invalid_inputs", hint="see: rover workflows") from None
    workflow = chosen(workflow, inputs)
    scenes, complete = rehearse(workflow, inputs, task)
    if args.json:
        print(
            json_text({"workflow": name, "complete": complete, "steps": [*map(_as_json, scenes)]})
        )
        return 0
    paint = Paint(sys.stdout)
    print(paint(clean(name), "bold"), *wrap(INTRODUCTION, paint.width, ""), "", sep="\n")
    for scene in scenes:
        print("\n".join(_lines(scene, workflow, args.agent, paint)))
    if not complete:
        print("… and more")
    return 0


def _workflow(args: argparse.Namespace) -> tuple[str, Workflow]:
    config = load_config(root_here(Path(args.repo) if args.repo else None))
    name = args.workflow or (config.config.workflow if config else None) or DEFAULT
    if "/" in name or name.endswith((".yaml", ".yml")):
        try:
            return name, load_workflow(Path(name))
        except (OSError, WorkflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ClientError(f"{name} cannot be used: {reason}", code="invalid_workflow") from None
    entry = found(args, name)
    if entry.workflow is None:
        raise ClientError(f"{name} cannot be used", code="invalid_workflow")
    return f"{entry.name} ({entry.source})", entry.workflow


def _as_json(scene: RehearsedStep) -> Json:
    fields: Json = {"step": scene.step.id, "type": scene.step.type, "what": scene.kind}
    if scene.iteration:
        fields["iteration"] = scene.iteration
    if scene.kind == "runs":
        fields["prompt" if isinstance(scene.step, AgentStep) else "command"] = scene.text
        fields["outputs"] = dict(scene.outputs)
    return fields


def _lines(
    scene: RehearsedStep, workflow: Workflow, agent: str | None, paint: Paint
) -> Iterator[str]:
    step, indent = scene.step, "  " * scene.depth
    name = paint(clean(step.id), "bold")
    if scene.kind == "skipped":
        yield f"{indent}{paint(clean(step.id), 'dim')}  skipped: its condition is false"
    elif scene.kind == "iteration":
        yield f"{indent}  {paint(f'iteration {scene.iteration}', 'dim')}"
    elif scene.kind == "begins":
        most = f", at most {step.max_iterations} times" if isinstance(step, LoopStep) else ""
        yield f"{indent}{name}  {step.type}{most}"
    else:
        yield f"{indent}{name}  {_who(scene, workflow, agent)}"
        for line in _beginning(scene.text):
            room = None if paint.width is None else paint.width - len(indent) - 4
            yield f"{indent}    {paint(shorten(line, room), 'dim')}"


def _who(scene: RehearsedStep, workflow: Workflow, agent: str | None) -> str:
    step = scene.step
    if not isinstance(step, AgentStep):
        return "command"
    named = step.tool or agent or workflow.defaults.tool
    model = step.model or (workflow.defaults.model if not step.tool else None)
    words = [f"agent {named}" if named else "the task's agent", model or ""]
    words += [
        "read-only" if step.read_only else "",
        f"outputs {', '.join(scene.outputs)}" if scene.outputs else "",
    ]
    return clean(", ".join(word for word in words if word))


def _beginning(text: str) -> Iterator[str]:
    lines = [clean(line) for line in text.splitlines() if line.strip()]
    yield from lines[:LINES]
    if len(lines) > LINES:
        yield f"… {len(lines) - LINES} more lines"
