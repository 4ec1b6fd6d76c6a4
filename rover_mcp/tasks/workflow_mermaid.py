"""A workflow as a Mermaid flowchart. Pure.

The identifiers of nodes are made here. All other text is in quoted labels, and each character that
could mean something to Mermaid or to a browser is written as its number: a label cannot end early,
add a node, a link or a directive, or become HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent_runner.workflow.models import Workflow
from rover_mcp.domain.text import visible_line
from rover_mcp.tasks.workflow_tree import WorkflowNode, workflow_nodes

LABEL_SHOWN: Final = 200
"""Characters of a name or a condition in a diagram."""
_PLAIN: Final = frozenset(" .,_/+-=!():'")
"""Besides letters and digits, what is written as it is."""

Exit = tuple[str, str]
"""A node that the next step follows on, and what is written at the arrow."""


def workflow_mermaid(workflow: Workflow) -> str:
    """The source of the diagram, from the start to the end of the workflow."""
    diagram = _Diagram([], 0)
    start = diagram.node('(["', workflow.name, '"])')
    exits = diagram.steps(workflow_nodes(workflow), [(start, "")])
    end = diagram.node('(["', "end", '"])')
    diagram.link(exits, end)
    return "\n".join(["flowchart TD", *diagram.lines, ""])


def mermaid_label(text: str) -> str:
    """A text for a quoted label, in one line."""
    line = visible_line(text)
    line = line if len(line) <= LABEL_SHOWN else f"{line[: LABEL_SHOWN - 1]}…"
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in line)


@dataclass
class _Diagram:
    lines: list[str]
    _count: int

    def node(self, opening: str, text: str, closing: str) -> str:
        """Add a node; its label has a line for each line of `text`."""
        self._count += 1
        name = f"n{self._count}"
        label = "<br/>".join(map(mermaid_label, text.split("\n")))
        self.lines.append(f"  {name}{opening}{label}{closing}")
        return name

    def link(self, exits: Sequence[Exit], target: str) -> None:
        for source, text in exits:
            arrow = f'-->|"{mermaid_label(text)}"|' if text else "-->"
            self.lines.append(f"  {source} {arrow} {target}")

    def steps(self, nodes: Sequence[WorkflowNode], exits: list[Exit]) -> list[Exit]:
        """Add steps that are done one after the other; what follows on the last one."""
        for node in nodes:
            exits = self._step(node, exits)
        return exits

    def _step(self, node: WorkflowNode, exits: list[Exit]) -> list[Exit]:
        skipped: list[Exit] = []
        if node.condition:
            question = self.node('{"', node.condition, '"}')
            self.link(exits, question)
            exits, skipped = [(question, "yes")], [(question, "no")]
        return [*self._body(node, exits), *skipped]

    def _body(self, node: WorkflowNode, exits: list[Exit]) -> list[Exit]:
        title = f"{node.name}\n{node.kind}"
        if node.type == "loop":
            return self._loop(node, title, exits)
        if node.type == "parallel":
            return self._parallel(node, title, exits)
        step = self.node('["', title, '"]')
        self.link(exits, step)
        return [(step, "")]

    def _loop(self, node: WorkflowNode, title: str, exits: list[Exit]) -> list[Exit]:
        """The steps of a loop in a frame, and the question whether they are done again."""
        begin = self.node('[["', title, '"]]')
        self.link(exits, begin)
        self._open(node)
        last = self.steps(node.inside, [(begin, "")])
        again = self.node('{"', node.until or f"{node.limit} times?", '"}')
        self.lines.append("  end")
        self.link(last, again)
        self.link([(again, "no: again")], begin)
        done = "yes" if node.until is None else f"yes, or {node.limit} times done"
        return [(again, done)]

    def _parallel(self, node: WorkflowNode, title: str, exits: list[Exit]) -> list[Exit]:
        begin = self.node('[["', title, '"]]')
        self.link(exits, begin)
        self._open(node)
        ends = [end for child in node.inside for end in self._step(child, [(begin, "")])]
        self.lines.append("  end")
        return ends

    def _open(self, node: WorkflowNode) -> None:
        self._count += 1
        self.lines.append(f'  subgraph g{self._count}["{mermaid_label(node.name)}"]')
