"""`rover workflow`: files checked, and the language as JSON Schema. No daemon is needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from agent_runner.workflow.loader import parse_workflow, read_workflow
from agent_runner.workflow.models import InputDef, Workflow, WorkflowError, walk
from agent_runner.workflow.schema import as_text
from agent_runner.workflow.source import MAX_BYTES, decode
from rover_mcp.cli.text import clean, json_text
from rover_mcp.project.beneath import NotTaken, read_regular

Json = dict[str, Any]
STDIN = "<stdin>"


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of workflow files."""
    del args
    print(as_text(), end="")
    return 0


def check(args: argparse.Namespace) -> int:
    """Read each file: a line for one that is valid; on stderr what is wrong with another."""
    checked: list[Json] = []
    for name in args.files:
        try:
            workflow = _load(name)
        except WorkflowError as error:
            place = {"line": error.line, "column": error.column}
            checked.append(_invalid(name, str(error), {**place, "message": error.message}, args))
        except NotTaken as error:
            reason = str(error)
            checked.append(_invalid(name, f"{name}: {reason}", {"message": reason}, args))
        else:
            checked.append(_valid(name, workflow, args))
    if args.json:
        print(json_text({"files": checked}))
    return 0 if all(file["valid"] for file in checked) else 1


def _load(name: str) -> Workflow:
    if name == "-":
        return read_workflow(sys.stdin.buffer, STDIN)
    data = read_regular(Path(name), MAX_BYTES)
    return parse_workflow(decode(data, name, "the workflow"), name)


def _invalid(name: str, line: str, error: Json, args: argparse.Namespace) -> Json:
    if not args.json:
        print(clean(line), file=sys.stderr)
    return {"file": name, "valid": False, "error": error}


def _valid(name: str, workflow: Workflow, args: argparse.Namespace) -> Json:
    count = sum(1 for _ in walk(workflow.steps))
    if not args.json:
        file = STDIN if name == "-" else name
        inputs = ", ".join(i.name + (" (required)" if i.required else "") for i in workflow.inputs)
        steps = "1 step" if count == 1 else f"{count} steps"
        told = f"inputs: {inputs}" if inputs else "no inputs"
        print(clean(f"{file}: ok: {workflow.name}, {steps}, {told}"))
    return {
        "file": name,
        "valid": True,
        "name": workflow.name,
        "description": workflow.description,
        "steps": count,
        "inputs": [_input(i) for i in workflow.inputs],
    }


def _input(definition: InputDef) -> Json:
    found: Json = {
        "name": definition.name,
        "type": definition.type,
        "required": definition.required,
        "description": definition.description,
    }
    return found if definition.default is None else {**found, "default": definition.default}
