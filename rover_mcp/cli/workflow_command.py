"""`rover workflow`: checks workflow files, and prints their JSON Schema. It needs no daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent_runner.agents import agent_names
from agent_runner.json_object import Json
from agent_runner.workflow.loader import STDIN, Checked, check_workflow
from agent_runner.workflow.models import InputDef, WorkflowError, walk
from agent_runner.workflow.schema import as_text
from agent_runner.workflow.yaml_source import MAX_BYTES, decode
from rover_mcp.cli.terminal_text import clean, json_text
from rover_mcp.cli.tool_commands import home_of
from rover_mcp.config.safe_read import FileRefused, read_regular
from rover_mcp.domain.errors import EnvironmentFault


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of workflow files."""
    del args
    print(as_text(), end="")
    return 0


def check(args: argparse.Namespace) -> int:
    """Check each file. Prints a line for each that is valid, and on stderr what is wrong with
    another."""
    checked: list[Json] = []
    agents = _agents(args)
    for name in args.files:
        try:
            outcome = _load(name, agents)
        except WorkflowError as error:
            errors = [_place(e.line, e.column, e.message) for e in error.all]
            checked.append(_invalid(name, [str(e) for e in _each(error)], errors, args))
        except FileRefused as error:
            reason = str(error)
            checked.append(_invalid(name, [f"{name}: {reason}"], [{"message": reason}], args))
        else:
            checked.append(_valid(name, outcome, args))
    if args.json:
        print(json_text({"files": checked}))
    return 0 if all(file["valid"] for file in checked) else 1


def _agents(args: argparse.Namespace) -> list[str] | None:
    """The agents that a step can name here. None where config.yaml, which may define others, cannot
    be read: `rover config check` says why."""
    from rover_mcp.config.load_settings import load_settings

    try:
        own = load_settings(Path(home_of(args))).agent_programs
    except EnvironmentFault:
        return None
    return sorted({*agent_names(), *own})


def _load(name: str, agents: list[str] | None) -> Checked:
    stdin = name == "-"
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if stdin else read_regular(Path(name), MAX_BYTES)
    name = STDIN if stdin else name
    return check_workflow(decode(data, name, "the workflow"), name, agents)


def _each(error: WorkflowError) -> list[WorkflowError]:
    """The errors in a file, one at a time."""
    return [WorkflowError(e.file, e.line, e.column, e.message) for e in error.all]


def _place(line: int, column: int, message: str) -> Json:
    return {"line": line, "column": column, "message": message}


def _invalid(name: str, lines: list[str], errors: list[Json], args: argparse.Namespace) -> Json:
    if not args.json:
        print("\n".join(map(clean, lines)), file=sys.stderr)
    return {"file": name, "valid": False, "error": errors[0], "errors": errors}


def _valid(name: str, checked: Checked, args: argparse.Namespace) -> Json:
    workflow, advice = checked.workflow, checked.advice
    count = sum(1 for _ in walk(workflow.steps))
    if not args.json:
        file = STDIN if name == "-" else name
        inputs = ", ".join(i.name + (" (required)" if i.required else "") for i in workflow.inputs)
        steps = "1 step" if count == 1 else f"{count} steps"
        text = f"inputs: {inputs}" if inputs else "no inputs"
        print(clean(f"{file}: ok: {workflow.name}, {steps}, {text}"))
        for a in advice:
            print(clean(f"{file}:{a.line}:{a.column}: warning: {a.message}"), file=sys.stderr)
    return {
        "file": name,
        "valid": True,
        "name": workflow.name,
        "description": workflow.description,
        "steps": count,
        "inputs": [_input(i) for i in workflow.inputs],
        "warnings": [_place(a.line, a.column, a.message) for a in advice],
    }


def _input(definition: InputDef) -> Json:
    fields: Json = {
        "name": definition.name,
        "type": definition.type,
        "required": definition.required,
        "description": definition.description,
    }
    return fields if definition.default is None else {**fields, "default": definition.default}
