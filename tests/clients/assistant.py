"""The model of an assistant that hands a task to Rover, as the fake provider plays it.

It sees what a model sees, the tools' results, and decides by them: hand over, do something else,
hear of the pause from `attention` and tell the user; then, asked again, let it go on, wait, look at
the changes, report. A tool that it is not offered yet it first looks for, in a user's words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.models.turns import Behaviour, text, tool

PREFIX = "mcp__rover__"
"""How Claude Code names the tools of a server that is called `rover`."""
SEARCH = "ToolSearch"
"""The tool of Claude Code that loads those of which a model has been told the names alone."""
MOST_SEARCHES = 50
SOUGHT = {
    "create_task": "delegate background task",
    "list_tasks": "list tasks",
    "resume_task": "resume paused task",
    "wait_for_task": "wait for task",
    "get_diff": "review diff",
    "iterate_task": "new instructions",
    "rebase_task": "rebase",
    "merge_task": "merge",
}
"""What it looks for, by the tool that it wants then."""


class Assistant:
    """Decides in `decide`, by which of Rover's tools it called last and what that returned."""

    def __init__(self) -> None:
        self._offered: set[str] = set()
        self._wanted: Behaviour = {}
        self._search: Behaviour = {}
        self._searches = 0
        self.failure: str | None = None

    def __call__(self, body: dict[str, Any]) -> Behaviour:
        """What it says or calls next."""
        called, result = last_result(body["messages"])
        self._offered = {tool["name"] for tool in body["tools"]}
        try:
            if called == SEARCH:
                return self._found(result)
            return self.decide(called, result, body["messages"])
        except (KeyError, TypeError, AssertionError) as error:
            self.failure = f"{called}: {error!r}: {json.dumps(result)[:2000]}"
            return text("I do not understand that.")

    def decide(self, called: str | None, result: Any, messages: list[dict[str, Any]]) -> Behaviour:
        """What it says or calls next, of what it can call."""
        raise NotImplementedError

    def _found(self, result: Any) -> Behaviour:
        """Call what it looked for; look again where the client does not offer it yet."""
        if self._wanted["name"] in self._offered:
            return self._wanted
        self._searches += 1
        assert self._searches < MOST_SEARCHES, f"it is found and can be called: {result}"
        return self._search

    def call(self, name: str, **arguments: Any) -> Behaviour:
        """Call a tool of Rover's, or look for it first."""
        self._wanted = tool(PREFIX + name, **arguments)
        if PREFIX + name in self._offered:
            return self._wanted
        self._search = tool(SEARCH, query=SOUGHT[name], max_results=3)
        return self._search


class DelegatingAssistant(Assistant):
    """`task` are the arguments of create_task; `meanwhile` is what it does, with the task's id,
    before it calls Rover again."""

    def __init__(self, task: dict[str, Any], meanwhile: Callable[[str], None]) -> None:
        super().__init__()
        self._task = task
        self._meanwhile = meanwhile
        self._branch = ""
        self._resume: dict[str, Any] | None = None

    def decide(self, called: str | None, result: Any, messages: list[dict[str, Any]]) -> Behaviour:
        match called:
            case None:
                return self.call("create_task", **self._task)
            case "create_task":
                self._meanwhile(result["task"]["id"])
                return self.call("list_tasks")
            case "list_tasks" if self._resume is None:
                return text(self._paused(result["attention"]))
            case "list_tasks":
                return self.call(self._resume["tool"], **self._resume["arguments"])
            case "resume_task":
                return self.call("wait_for_task", task=result["task"]["id"])
            case "wait_for_task" if result["returned"] != "ended":
                return self.call("wait_for_task", task=result["task"]["id"])
            case "wait_for_task":
                self._branch = result["task"]["branch"]
                return self.call("get_diff", task=result["task"]["id"])
            case _:
                return text(self._report(result))

    def _paused(self, attention: list[Any]) -> str:
        (news,) = attention
        assert news["event"] == "task.paused", news
        self._resume = news["resume"]
        return f"Rover says: {news['summary']}. Nothing is lost. Shall I resume it?"

    def _report(self, diff: Any) -> str:
        changes = diff["changes"]
        return (
            "calc.add is fixed; the task went on from its checkpoint. "
            f"{changes['paths'][0]['path']} changed: +{changes['added']} "
            f"-{changes['removed']}. Review it on the branch {self._branch}."
        )


class ReviewingAssistant(Assistant):
    """Hands a task over, reviews it, has it changed by comments on lines, rebases and merges it.

    `task` are the arguments of create_task, `comments` those of iterate_task."""

    def __init__(self, task: dict[str, Any], comments: list[dict[str, Any]]) -> None:
        super().__init__()
        self._task = task
        self._comments = comments
        self._id = self._awaited = ""
        self._reported = 0

    def decide(self, called: str | None, result: Any, messages: list[dict[str, Any]]) -> Behaviour:
        match called:
            case None:
                return self.call("create_task", **self._task)
            case "create_task" | "iterate_task":
                self._id = self._awaited = result["task"]["id"]
                return self.call("wait_for_task", task=self._id)
            case "wait_for_task":
                return self._waited(result)
            case "get_diff" if has_spoken(messages):
                return self._begin()
            case "get_diff":
                self._reported += 1
                return text(self._report(result))
            case "rebase_task" if proposed := result.get("next_actions"):
                return self._follow(proposed[0])
            case "merge_task" if " yet. " in str(result):  # a preview
                return self.call(called, task=self._id, confirm=True)
            case "rebase_task":
                return self.call("merge_task", task=self._id)
            case _:  # This client runs without a person, and the merge needs one.
                assert "rover merge" in result, result
                return text("The merge is yours to confirm: run `rover merge 1 --yes`.")

    def _waited(self, result: Any) -> Behaviour:
        """Wait on, or look at what the task changed; after another one has resolved the conflicts,
        at the resolution."""
        assert result["returned"] != "paused", result
        if result["returned"] != "ended":
            return self.call("wait_for_task", task=self._awaited)
        return self.call("get_diff" if self._awaited == self._id else "rebase_task", task=self._id)

    def _follow(self, action: Any) -> Behaviour:
        if action["tool"] == "wait_for_task":
            self._awaited = action["arguments"]["task"]
        return self.call(action["tool"], **action["arguments"])

    def _begin(self) -> Behaviour:
        """What the user's next prompt asks for: first changes, then the delivery."""
        if self._reported == 1:
            return self.call("iterate_task", task=self._id, comments=self._comments)
        return self.call("rebase_task", task=self._id)

    def _report(self, diff: Any) -> str:
        changes = diff["changes"]
        files = ", ".join(path["path"] for path in changes["paths"])
        return f"It is done: {files}, +{changes['added']} -{changes['removed']}."


def has_spoken(messages: list[dict[str, Any]]) -> bool:
    """Whether the assistant's last message is to the user, who has therefore answered since."""
    last = [message for message in messages if message["role"] == "assistant"][-1]
    return not any(block["type"] == "tool_use" for block in blocks(last))


def last_result(messages: list[dict[str, Any]]) -> tuple[str | None, Any]:
    """Which of Rover's tools was called last, and the JSON that came back; None: none yet."""
    names = {
        block["id"]: block["name"].removeprefix(PREFIX)
        for message in messages
        for block in blocks(message)
        if block["type"] == "tool_use"
    }
    results = [b for m in messages for b in blocks(m) if b["type"] == "tool_result"]
    if not results:
        return None, None
    content = results[-1]["content"]
    told = content if isinstance(content, str) else "".join(b.get("text", "") for b in content)
    try:
        return names[results[-1]["tool_use_id"]], json.loads(told)
    except ValueError:
        return names[results[-1]["tool_use_id"]], told


def blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a message that is not plain text."""
    content = message["content"]
    return [] if isinstance(content, str) else content
