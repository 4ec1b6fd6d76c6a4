"""A workflow as a tree in a terminal. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from agent_runner.workflow.models import Workflow
from rover_mcp.cli.terminal_text import Paint, shorten
from rover_mcp.domain.durations import duration
from rover_mcp.domain.text import visible_line
from rover_mcp.tasks.workflow_tree import WorkflowNode, input_texts, workflow_nodes

NAME_SHOWN = 100
NARROWEST_TEXT = 20
"""How many columns a text gets, however deep its step is."""


def workflow_lines(workflow: Workflow, paint: Paint) -> list[str]:
    """The name, the inputs, and the steps with everything inside of them."""
    lines = [paint(shorten(visible_line(workflow.name), paint.width), "bold")]
    lines += _wrapped(visible_line(workflow.description), "", paint)
    lines += _wrapped(f"inputs: {input_texts(workflow.inputs) or 'none'}", "", paint)
    if workflow.timeout:
        lines.append(f"an agent step takes at most {duration(workflow.timeout)}")
    return [*lines, *_tree(workflow_nodes(workflow), "", paint)]


def _tree(nodes: Sequence[WorkflowNode], stem: str, paint: Paint) -> Iterator[str]:
    for node in nodes:
        is_last = node is nodes[-1]
        below = stem + ("   " if is_last else "│  ")
        yield from _headed(node, stem + ("└─ " if is_last else "├─ "), below, paint)
        deeper = below + _bar(node)
        for label, text in _details(node):
            yield from _wrapped(f"{label}{text}", deeper, paint)
        yield from _tree(node.inside, below, paint)


def _headed(node: WorkflowNode, first: str, rest: str, paint: Paint) -> Iterator[str]:
    """The line of a step, wrapped; its id is bold."""
    name = f"  {shorten(node.name, NAME_SHOWN)}" if node.name != node.id else ""
    what = ": " + ", ".join([node.kind, *node.facts])
    head, *more = _wrapped(f"{node.id}{name}{what}", "", paint, len(first) + 3) or [""]
    # An id that is longer than the line is not in one piece.
    is_intact = head.startswith(node.id)
    yield first + (paint(node.id, "bold") + head[len(node.id) :] if is_intact else head)
    yield from (f"{rest}{_bar(node)}{line}" for line in more)


def _bar(node: WorkflowNode) -> str:
    """What is to the left of the further lines of a step: the line to the steps inside of it."""
    return "│  " if node.inside else "   "


def _details(node: WorkflowNode) -> Iterator[tuple[str, str]]:
    if node.condition:
        yield "if: ", node.condition
    if node.until:
        yield "until: ", node.until
    if node.outputs:
        yield "outputs: ", ", ".join(node.outputs)


def _wrapped(text: str, indent: str, paint: Paint, less: int = 0) -> list[str]:
    if paint.width is None:
        return [indent + text] if text else []
    width = max(NARROWEST_TEXT, paint.width - len(indent) - less)
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    return [indent + line for line in lines]
