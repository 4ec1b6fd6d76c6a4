"""A user sits before Claude Code and has it delegate to Rover; the page of it is
docs/transcripts/claude-code-interactive.md.

    python -m tests.clients.interactive

regenerates it. The program, its terminal, the server, the sandbox and git are real; the assistant's
model is played, and the tasks' agent by a script. Between Claude Code and the server is
tests/clients/tap.py, which writes down what they say.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.clients import tap
from tests.clients.assistant import Assistant, blocks
from tests.clients.delegation import as_json, in_short, settled, status
from tests.clients.programs import BIN, bare_environment, launcher, ran
from tests.clients.terminal import Terminal
from tests.clients.wire import Wire
from tests.e2e.conftest import end_daemon
from tests.e2e.processes import wait_until
from tests.support.fake_anthropic import FakeAnthropic, text
from tests.support.models.turns import Behaviour
from tests.support.real_claude import claude_binary
from tests.support.repos import FIXED, make_repository
from tests.support.scripts import script
from tests.support.timers import ANY_TASK, its_time_comes

PAGE = Path(__file__).parents[2] / "docs" / "transcripts" / "claude-code-interactive.md"
KEY = "sk-ant-api03-of-nobody-at-all"
DELEGATE = "Have Rover fix calc.add in this repository, and tell me when it is done."
ANOTHER = "Have Rover write down how to use calc.add."
GO_ON = "I stopped that by mistake: let it go on."
AGAIN = "I have paused it for a moment. Let it go on now."
NOTES = "NOTES.md"
RATE_LIMIT = {
    "provider": "anthropic", "status": 429, "type": "rate_limit_error",
    "message": "This request would exceed your account's rate limit.", "retry_after": 3600,
}  # fmt: skip
AUTH = {
    "provider": "anthropic", "status": 401, "type": "authentication_error",
    "message": "invalid x-api-key",
}  # fmt: skip
CONFIG = "limits: {wait_in_place: 1, transient_delays: []}\nretry: {jitter: 0}\n"
_COMMON = {"workflow": "quick", "agent": "scripted", "engine": "bubblewrap"}
FIX = {
    "description": "calc.add subtracts. Make it add.",
    **_COMMON,
    "script": script(
        implement=[
            {"say": "a limit", "error": RATE_LIMIT},
            {"say": "no entry", "error": AUTH},
            {"edits": [{"path": NOTES, "content": "half"}], "delay": 3600},
            {
                "say": "done",
                "edits": [{"path": "calc.py", "content": FIXED}, {"path": NOTES, "delete": True}],
            },
        ]
    ),
}
WRITE = {
    "description": "Write USAGE.md: how to use calc.add.",
    **_COMMON,
    "script": script(
        implement=[
            {"say": "writing", "delay": 3600},
            {"say": "done", "edits": [{"path": "USAGE.md", "content": "add(a, b)\n"}]},
        ]
    ),
}
HEADER = """\
# Claude Code in its terminal delegates tasks

As it happened in the interactive form of the real Claude Code, which is a client of the Tasks
extension by itself: a call that starts a task becomes a background task of its own, whose pause it
asks the user about and whose end wakes its model. The connection, the server, the sandbox and git
are real. Only two things are played: what the assistant's model decides, and the agent that does the
tasks. A test plays it again and compares (`tests/clients/test_claude_interactive.py`).

Screens, frames and results are shortened. TASK stands for a task's id, HANDLE for Claude Code's own
name of it, TIME for times.
"""
BEGINS = r"(?:queued|preparing|starting|step \d)"
"""What a task that has just been created or resumed does, depending on how fast the machine is."""
_KEYS = frozenset({"taskId", "status", "statusMessage", "inputRequests", "inputResponses"})


class Page:
    """What happened, in order, as Markdown."""

    def __init__(self) -> None:
        self._parts = [HEADER]

    def add(self, heading: str, body: str) -> None:
        self._parts.append(f"## {heading}\n\n{body.rstrip()}\n")

    def wire(self, heading: str, said: dict[str, Any]) -> None:
        """A frame's parameters or result, without warnings, which are this machine's."""
        shown = {k: v for k, v in said.items() if k in _KEYS}
        if message := shown.get("statusMessage"):
            message = re.sub(rf": {BEGINS}.*", ": queued.", message)
            shown["statusMessage"] = message.partition(" Warning: ")[0]
        self.add(heading, as_json(shown))

    def screen(self, heading: str, screen: str, first: str, last: str) -> None:
        """The lines of a screen from the one that has `first` to the one that has `last`."""
        lines = [line.rstrip() for line in screen.splitlines() if line.strip()]
        start = next(i for i, line in enumerate(lines) if first in line)
        end = next(i for i, line in enumerate(lines) if i >= start and last in line)
        self.add(heading, "```text\n" + "\n".join(lines[start : end + 1]) + "\n```")

    def text(self) -> str:
        text = re.sub(r"\bk[0-9a-z]{8}\b", "HANDLE", settled("\n".join(self._parts)))
        return re.sub(r"\bpause-[0-9]+\b", "pause-N", text)


class CooperativeModel(Assistant):
    """A model that does what it is asked, and ends its turn where it is told that it will be
    notified."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page

    def decide(self, called: str | None, result: Any, messages: list[dict[str, Any]]) -> Behaviour:
        news = new_texts(messages)
        for told in news:
            if ended := re.search(r"<result>\n(.*)\n</result>", told, re.S):
                return self._woken(json.loads(ended[1]))
        for prompt, name, arguments in (
            (DELEGATE, "create_task", FIX),
            (ANOTHER, "create_task", WRITE),
            (GO_ON, "resume_task", {"task": "2"}),
            (AGAIN, "resume_task", {"task": "1"}),
        ):
            if any(prompt in one for one in news):
                return self._called(name, arguments)
        if called == "get_diff":
            self._page.add("Rover answers", as_json(in_short(result)))
            changed = ", ".join(path["path"] for path in result["changes"]["paths"])
            return self._said(f"It is done; {changed} changed. Review the branch.")
        if called == "resume_task" and isinstance(result, dict):
            # It has a handle of this task, and is given no second one.
            self._page.add("Rover answers", as_json(in_short(result)))
            return self._said("It goes on; I will hear when it ends, as before.")
        assert isinstance(result, str), result
        assert "the result arrives as a task notification" in result, result
        self._page.add("The model is shown", in_note(result))
        return self._said("Rover works on it in the background; I will hear when it ends.")

    def _woken(self, result: dict[str, Any]) -> Behaviour:
        self._page.add("The idle model is woken", as_json({"task-notification": in_short(result)}))
        return self._called("get_diff", {"task": result["task"]["id"], "stat_only": True})

    def _called(self, name: str, arguments: dict[str, Any]) -> Behaviour:
        shown = {k: "(its agent's, played)" if k == "script" else v for k, v in arguments.items()}
        self._page.add(f"The model calls `{name}`", as_json(shown))
        return self.call(name, **arguments)

    def _said(self, words: str) -> Behaviour:
        self._page.add("Claude Code", f"> {words}")
        return text(words)


def in_note(told: str) -> str:
    """What a model is told of a call that became a task, for people: number, title and branch are
    in it. Warnings and places are this machine's."""
    assert re.search(r"Task \d .* Branch rover/\d-", told), told
    text = re.sub(r" Warning: .*(?=\n</mcp-server-note>)", "", told)
    text = re.sub(r"Id [0-9a-f]{8,}, of \S+\. ", "Id TASK, of REPOSITORY. ", text)
    text = re.sub(r"(, network \w+), [\d a-z]+\.", r"\1.", text)
    status = "NEW" if "create_task" in text else "IN_PROGRESS"
    text = re.sub(rf"(?:NEW|IN_PROGRESS) \({BEGINS}[^)]*\)", f"{status} (queued, 0 %)", text)
    text = re.sub(r" Steps: .*", "", text)
    return "```text\n" + text + "\n```"


def new_texts(messages: Sequence[dict[str, Any]]) -> list[str]:
    """What the model has been given since it last said something, but results of tools."""
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=-1)
    new = [message for message in messages[last + 1 :] if message["role"] == "user"]
    whole = [message["content"] for message in new if isinstance(message["content"], str)]
    parts = [block for message in new for block in blocks(message)]
    return whole + [part["text"] for part in parts if part["type"] == "text"]


class Session:
    """A user's home, repository and data folder in a folder that is empty at first."""

    def __init__(self, folder: Path, provider: FakeAnthropic) -> None:
        self.repository = make_repository(folder / "repo")
        self.home = folder / "data"
        self._folder, self._provider = folder, provider
        self._user = folder / "user"
        self._user.mkdir()
        self.home.mkdir()
        (self.home / "config.yaml").write_text(CONFIG)
        command = [tap.__file__, str(folder / "wire"), *launcher(self.home)]
        entry = {"command": sys.executable, "args": command}
        (self._user / "mcp.json").write_text(json.dumps({"mcpServers": {"rover": entry}}))
        known = {
            "hasCompletedOnboarding": True,
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {str(self.repository): {"hasTrustDialogAccepted": True}},
        }
        (self._user / ".claude.json").write_text(json.dumps(known))
        self.wire = Wire(folder / "wire")
        self.environ = bare_environment(folder)

    def settings(self, settings: dict[str, Any]) -> None:
        """Claude Code's own, of the user."""
        (self._user / ".claude").mkdir()
        (self._user / ".claude" / "settings.json").write_text(json.dumps(settings))

    def claude(self, *arguments: str, **variables: str) -> Terminal:
        """Claude Code as a user starts it here."""
        own = bare_environment(self._user)
        environ = own | {
            "ROVER_HOME": str(self.home),
            "PATH": f"{BIN}:{own['PATH']}",
            "ANTHROPIC_BASE_URL": self._provider.url,
            "ANTHROPIC_API_KEY": KEY,
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **variables,
        }
        argv = [
            claude_binary(), *arguments, "--mcp-config", self._user / "mcp.json",
            "--strict-mcp-config", "--allowedTools", "mcp__rover",
        ]  # fmt: skip
        return Terminal(self._folder, argv, environ, self.repository)


def play(folder: Path) -> tuple[Session, str]:
    """What the session left behind, and the page. `folder` is empty."""
    page = Page()
    with FakeAnthropic() as provider:
        model = CooperativeModel(page)
        provider.session().play(model)
        session = Session(folder, provider)
        try:
            with session.claude() as terminal:
                first_task(session, terminal, page)
                second_task_and_exit(session, terminal, page)
            with session.claude("--continue") as terminal:
                stopped_and_resumed(session, terminal, page)
        except AssertionError as error:
            error.add_note(f"the model: {model.failure}")
            raise
        assert model.failure is None, model.failure
    return session, page.text()


def first_task(session: Session, terminal: Terminal, page: Page) -> None:
    """Delegate; a pause that ends automatically; one that asks; the end."""
    wire = session.wire
    wire.wait_for("its tools", lambda frame: "tools" in (frame.get("result") or {}))
    said(terminal, page, DELEGATE)
    terminal.wait_for("1 MCP task still running")
    page.wire("On the wire the call became a task", wire.task("working"))
    page.wire(
        "A pause that ends automatically asks nothing",
        wire.task("working", "resumes automatically"),
    )
    assert "requests your input" not in terminal.screen()
    its_time_comes(session.home, ANY_TASK)

    asking = wire.task("input_required")
    terminal.wait_for("requests your input")
    dialog = terminal.whole("to navigate")
    assert "Leave it paused" in dialog, "going on would only pause again"
    page.wire("A pause that only a person can end", asking)
    page.screen("Claude Code asks on its own", dialog, "MCP server", "navigate")
    assert "requestedSchema" in json.dumps(asking)
    terminal.press_until("Right", lambda: "Space to select" in terminal.screen())
    terminal.press_until("Up", lambda: "❯ ◯ Resume now" in terminal.screen())
    terminal.press_until("Enter", lambda: "❯ Accept" in terminal.screen() or answered(wire))
    terminal.press_until("Enter", lambda: answered(wire))
    page.wire("You choose to go on", wire.request("tasks/update")["params"])
    paused_and_resumed(session, terminal, page, asking["taskId"])
    wire.task("completed")
    terminal.wait_for("It is done; calc.py changed.")


def answered(wire: Wire) -> bool:
    """Whether the dialog was answered. An Enter that was pressed twice has accepted it already."""
    return "tasks/update" in wire.methods()


def paused_and_resumed(session: Session, terminal: Terminal, page: Page, handle: str) -> None:
    """A pause of the user's own asks nothing, and going on makes no second task of Claude Code's."""
    logs = session.home / "tasks"

    def works() -> bool:
        return any(f"wrote {NOTES}" in log.read_text() for log in logs.rglob("*.log"))

    wait_until(works, "its agent works again")
    page.add("You, in another terminal", "> rover pause 1")
    pause = [BIN / "rover", "pause", "1", "--home", session.home]
    ran(pause, session.environ, session.repository)
    paused = session.wire.task("working", "paused (requested)")
    page.wire("A pause of your own asks nothing either", paused)
    wait_until(lambda: status(session.home, handle) == "PAUSED", "it is paused")
    said(terminal, page, AGAIN)
    terminal.wait_for("It goes on; I will hear when it ends, as before.")


def second_task_and_exit(session: Session, terminal: Terminal, page: Page) -> None:
    """Another one, which still runs when Claude Code ends."""
    said(terminal, page, ANOTHER)
    handle = session.wire.task("working")["taskId"]
    terminal.wait_for("1 MCP task still running")
    wait_until(lambda: status(session.home, handle) == "IN_PROGRESS", "its agent works")
    page.add("You", "> /exit")
    terminal.say("/exit")
    terminal.wait_for("Exit and stop tasks")
    leaving = terminal.whole("Stay")
    page.screen("Claude Code asks", leaving, "Background work is running", "Stay")
    terminal.press_until("Enter", lambda: not terminal.running())
    assert "tasks/cancel" not in session.wire.methods()
    assert status(session.home, handle) == "IN_PROGRESS"


def stopped_and_resumed(session: Session, terminal: Terminal, page: Page) -> None:
    """The same conversation anew: the task is there, is stopped in /tasks, and goes on."""
    wire = session.wire
    page.add("You", "> claude --continue")
    page.wire("It takes the task up again", wire.request("tasks/get")["params"])
    terminal.wait_for("1 MCP task")
    page.add("You", "> /tasks, and there `x`, which stops it")
    terminal.say("/tasks")
    terminal.wait_for("x to stop")
    terminal.press_until("x", lambda: "tasks/cancel" in wire.methods())
    cancelled = wire.request("tasks/cancel")["params"]
    page.wire("On the wire", cancelled)
    wait_until(lambda: status(session.home, cancelled["taskId"]) == "PAUSED", "it is not lost")
    page.add("The task", "is paused, with all that it did.")
    terminal.press_until("Escape", lambda: "Esc to close" not in terminal.screen())
    said(terminal, page, GO_ON)
    wire.request_of_tool("resume_task")
    resumed = wire.mark
    wire.task("completed")
    terminal.wait_for("It is done; USAGE.md changed.")
    # On a busy machine, Claude Code may send it twice for one `x`.
    assert "tasks/cancel" not in wire.methods(resumed), "nothing but `x` has stopped it"


def said(terminal: Terminal, page: Page, prompt: str) -> None:
    """The user types a prompt, once there is a place for it."""
    page.add("You", f"> {prompt}")
    terminal.wait_for("❯")
    terminal.say(prompt)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rover-interactive-"))
    try:
        _, page = play(folder)
    finally:
        end_daemon(folder / "data")
        shutil.rmtree(folder, ignore_errors=True)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
