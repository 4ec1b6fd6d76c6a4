"""G6: a real agent's work is not thrown away because its last message is not as it was asked for:
outputs are found in prose, and asked for again in the same session where they are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import client_of_real_agents
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.models.turns import Behaviour, text, tool, write
from tests.support.repos import git

pytestmark = pytest.mark.real_agent

WORKFLOW = """
version: "1.0"
name: report
steps:
  - id: work
    type: agent
    prompt: "Write the file. {{task.description}}"
    outputs:
      - {name: summary, required: true}
      - {name: risky, type: boolean, required: true}
"""
ANSWER = json.dumps({"summary": "wrote a file", "risky": False})


client = client_of_real_agents({".rover/workflows/report.yaml": WORKFLOW})


PLANS: list[tuple[str, str, list[Behaviour], int]] = [
    ("claude", "prose-after", [text(f"All done:\n```json\n{ANSWER}\n```\nShall I go on?")], 0),
    ("claude", "missing", [text("It is done."), tool("StructuredOutput", **json.loads(ANSWER))], 1),
    ("claude", "stubborn", [text("Done."), *[text("I said: done.")] * 2, text(ANSWER)], 2),
    ("codex", "prose-after", [text(f"All done: {ANSWER} Shall I go on?")], 0),
    ("codex", "missing", [text("It is done."), text(ANSWER)], 1),
]


@pytest.mark.parametrize(("agent", "case", "plan", "requests"), PLANS)
def test_outputs_are_found_or_asked_for_again(
    client: LauncherClient,
    provider: FakeModels,
    agent: str,
    case: str,
    plan: list[Behaviour],
    requests: int,
) -> None:
    session = provider.session(f"{agent}-{case}")
    session.push(write("made.txt", "made\n"), *plan)
    task = client.tool(
        "create_task", description=f"Write it [session:{session.name}]", workflow="report",
        agent=agent, engine="bubblewrap",
    )["task"]  # fmt: skip
    done = client.wait_until(task["id"], "COMPLETED")
    assert git(Path(done["repo_path"]), "show", f"{done['branch']}:made.txt") == "made"
    texts = {r.messages: r.texts[-1] for r in session.main_requests}.values()
    assert sum("outputs are missing" in t for t in texts) == requests
