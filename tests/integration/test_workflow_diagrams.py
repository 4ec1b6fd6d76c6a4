"""The diagrams of workflows, read by Mermaid's own parser."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from agent_runner.workflow.loader import load_workflow, parse_workflow
from rover_mcp.domain.text import visible_line
from rover_mcp.tasks.workflow_mermaid import workflow_mermaid
from tests.support.fetched import npm_modules

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "mermaid_parse.mjs"
HOSTILE = (
    'a"]; n9["b', "<script>alert(1)</script>", '<img src=x onerror="alert(1)">', "#quot;] --> n9",
    "`**bold**`", "%%{init: {'theme': 'dark'}}%%", "%% a comment", "end", "subgraph x",
    'click n1 "javascript:alert(1)"', "n1 --> n2", "a;b", "a\\nb", "a|b", ":::c", "&lt;b&gt;",
    "\x1b[31mred", "\u202egnp.exe", "zero\u200bwidth", "---", "名前", "{{{", "]]", "@{ shape: x }",
)  # fmt: skip
_NUMBER = re.compile("ﬂ°°([0-9]+)¶ß")
"""How Mermaid notes `#35;` until it draws."""


def parsed(*sources: str) -> list[dict[str, Any]]:
    modules = npm_modules("mermaid-12.3.0", "mermaid@12.3.0", "jsdom@26.1.0")
    done = subprocess.run(
        ["node", SCRIPT, modules], input=json.dumps(sources), text=True, check=False,
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def text_of(label: str) -> str:
    return _NUMBER.sub(lambda match: chr(int(match[1])), label)


def test_every_built_in_workflow_is_a_valid_diagram() -> None:
    paths = sorted((ROOT / "workflows").glob("*.yaml"))
    answers = parsed(*(workflow_mermaid(load_workflow(path)) for path in paths))
    for path, answer in zip(paths, answers, strict=True):
        assert answer.get("error") is None, path.name
        assert answer["nodes"][0] == path.stem
        assert {end for _, end, _ in answer["links"]} == {
            f"n{line[3:].partition('[')[0].partition('{')[0].partition('(')[0]}"
            for line in workflow_mermaid(load_workflow(path)).split("\n")
            if re.match(r"  n\d+[\[{(]", line) and not line.startswith("  n1(")
        }


def test_no_name_adds_anything_to_a_diagram() -> None:
    names = [visible_line(name) for name in HOSTILE]
    steps = [
        {"id": f"s{n}", "type": "command", "command": "true", "name": name}
        for n, name in enumerate(HOSTILE)
    ]
    loop = [
        {"id": "l", "type": "loop", "name": name, "steps": [{**steps[0], "id": "x"}]}
        for name in HOSTILE[:1]
    ]
    body = {"version": "1.0", "inputs": [{"name": "i"}], "steps": [*steps, *loop]}
    workflow = parse_workflow(json.dumps(body), "x.yaml")
    [answer] = parsed(workflow_mermaid(workflow))
    assert answer.get("error") is None
    shown = [text_of(label).partition("<br")[0] for label in answer["nodes"]]
    assert shown[1 : len(names) + 1] == names
    assert len(shown) == 1 + len(names) + 3 + 1
    assert [text_of(title) for title in answer["groups"]] == names[:1]


def test_a_broken_diagram_would_be_noticed() -> None:
    assert "Parse error" in parsed('flowchart TD\n  n1["a"]; n9["b"] oops [[\n')[0]["error"]
