"""Claude Code as the assistant: the real program, the real server; only its model is played.

It is as it is without settings: with its tool search, which keeps a server's tools from the model
until the model looks for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.server.tools import TOOLS
from tests.clients import review
from tests.clients.assistant import PREFIX, SEARCH, blocks
from tests.clients.delegation import PAGE, claude, found_tools, play
from tests.support.fake_anthropic import FakeAnthropic, text, tool
from tests.support.repos import FIXED, git

pytestmark = pytest.mark.real_agent

Message = dict[str, Any]

SOUGHT = {
    "delegate": "create_task",
    "background task": "create_task",
    "background agent": "create_task",
    "hand over work": "create_task",
    "run overnight": "create_task",
    "implement feature": "create_task",
    "task": "create_task",
    "task status": "list_tasks",
    "running tasks": "list_tasks",
    "progress": "inspect",
    "wait for result": "wait_for_task",
    "resume": "resume_task",
    "paused": "resume_task",
    "continue where it stopped": "resume_task",
    "credits": "resume_task",
    "auto resume": "set_auto_resume",
    "retry failed task": "restart_task",
    "stop background task": "cancel_task",
    "suspend": "pause_task",
    "review changes": "get_diff",
    "logs": "get_logs",
    "earlier snapshots": "get_history",
    "fork": "fork_task",
    "clean up": "delete_task",
    "rover health": "get_status",
    "list workflows": "list_workflows",
    "new instructions": "iterate_task",
    "merge": "merge_task",
    "push": "push_task",
    "rebase": "rebase_task",
}
"""What a user may say, and the tool that has to be among the five that the search then gives."""


def test_it_delegates_tells_of_the_pause_resumes_and_reports(home: Path) -> None:
    repository, page = play(home.parent)
    assert page == PAGE.read_text("utf-8"), "python -m tests.clients.delegation regenerates it"
    branch = git(repository, "branch", "--list", "rover/*", "--format=%(refname:short)")
    assert git(repository, "show", f"{branch}:calc.py") == FIXED.strip()
    assert git(repository, "branch", "--show-current") == "main"


def test_it_reviews_iterates_rebases_over_conflicts_and_merges(home: Path) -> None:
    repository, page = review.play(home.parent)
    assert page == review.PAGE.read_text("utf-8"), "python -m tests.clients.review regenerates it"
    assert git(repository, "show", "main:calc.py") == review.TYPED_AND_BETTER.strip()
    assert git(repository, "status", "--porcelain") == ""


def test_its_search_finds_every_tool_by_words_that_a_user_has(shared: Path) -> None:
    searches = [tool(SEARCH, query=words, max_results=5) for words in SOUGHT]
    with FakeAnthropic([*searches, text()]) as provider:
        told = one_run(shared, provider, "Search")
        first = provider.main_requests[0].body
    assert not [t["name"] for t in first["tools"] if t["name"].startswith(PREFIX)]
    assert all(PREFIX + name in json.dumps(first["messages"]) for name in TOOLS), "by name alone"

    found = dict(zip(SOUGHT, results(told), strict=True))
    assert {words: found[words] for words, name in SOUGHT.items() if name not in found[words]} == {}
    assert set(SOUGHT.values()) == set(TOOLS)


def test_told_to_load_them_always_it_offers_all_at_once(shared: Path) -> None:
    """docs/clients.md says how, and what it costs."""
    with FakeAnthropic([text()]) as provider:
        one_run(shared, provider, "Hello", alwaysLoad=True)
        body = provider.main_requests[0].body
    offered = [t for t in body["tools"] if t["name"].startswith(PREFIX)]
    assert [t["name"].removeprefix(PREFIX) for t in offered] == list(TOOLS)
    tokens = len(json.dumps(offered, separators=(",", ":"))) / 4
    assert tokens < 3300, "at four characters a token"


def one_run(shared: Path, provider: FakeAnthropic, *prompt: str, **more: Any) -> list[Message]:
    """What is told of a run with the module's daemon."""
    (user := shared / "user").mkdir(exist_ok=True)
    return claude(shared / "data", shared / "repo", user, provider, *prompt, **more)


def results(told: list[Message]) -> Iterator[list[str]]:
    """What each search found, in order."""
    for message in told:
        for block in blocks(message["message"]) if "message" in message else []:
            if block["type"] == "tool_result":
                yield found_tools(block["content"])
