"""Writes the workflow language as JSON Schema (draft 2020-12), for completion in editors.

`python -m agent_runner.workflow.schema > workflows/workflow.schema.json`
"""

from __future__ import annotations

import json

from agent_runner.json_object import Json
from agent_runner.workflow import language as lang

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "https://raw.githubusercontent.com/rover-mcp/rover-mcp/main/workflows/workflow.schema.json"


def workflow_schema() -> Json:
    """The JSON Schema of a workflow file. The loader checks more: see docs/workflows.md."""
    return {
        "$schema": DIALECT,
        "$id": ID,
        "title": "Rover workflow",
        "description": "In which steps a task is done: docs/workflows.md",
        **{k: v for k, v in lang.WORKFLOW.definition().items() if k != "title"},
        "$defs": {shape.name: shape.definition() for shape in lang.SHAPES},
    }


def as_text() -> str:
    """The content of workflows/workflow.schema.json."""
    return json.dumps(workflow_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(as_text(), end="")
