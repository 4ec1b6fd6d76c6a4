"""What six assistants show their model of Rover, taken from what reaches the provider.

    python -m tests.clients.shown

prints the table of docs/clients.md. The programs, the server and the sandbox are real; the model
is played: it creates a task, and says that it did.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rover_mcp.server.tools import TOOLS
from tests.clients.delegation import PATIENT
from tests.clients.programs import agent_program, bare_environment, launcher, ran
from tests.clients.test_codex import codex_exec
from tests.clients.test_gemini import gemini
from tests.clients.test_opencode import MODEL, opencode
from tests.e2e.conftest import end_daemon
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_models import FakeModels
from tests.support.models.turns import Behaviour, text, tool
from tests.support.real_claude import claude_binary
from tests.support.repos import make_repository
from tests.support.scripts import script

PROMPT = "Have Rover do it."
CREATE: dict[str, Any] = {
    "description": "Do it", "workflow": "quick", "agent": "scripted", "engine": "bubblewrap",
    "script": script(implement=[{"say": "done"}]),
}  # fmt: skip
INSTRUCTIONS = "Rover hands coding tasks to background agents"
DONE = "It is created."
DESCRIPTION = "Delegate a coding task to a background agent"


@dataclass(frozen=True)
class ShownTools:
    """What one program's model was shown: how many tools by name, whether a description and the
    instructions; of a result whether its text and its JSON, the branch and the next call."""

    tools: int
    descriptions: bool
    instructions: bool
    text: bool
    json: bool
    branch: bool
    following: bool

    @property
    def result(self) -> str:
        kinds = [name for name, there in (("text", self.text), ("JSON", self.json)) if there]
        return " and ".join(kinds) or "nothing"


Run = Callable[[list[str], Path, Path, Any], object]
"""One run of a program: the server's command, the repository, the user's home, the provider."""


def run_gemini(server: list[str], repository: Path, user: Path, provider: FakeModels) -> object:
    more = ("--approval-mode", "yolo", "--skip-trust", "-p", PROMPT)
    return gemini(server, repository, user, provider.session().google, *more)


def run_opencode(server: list[str], repository: Path, user: Path, provider: FakeModels) -> object:
    url = provider.session().anthropic
    return opencode(server, repository, user, url, "run", "-m", MODEL, PROMPT)


def run_codex(server: list[str], repository: Path, user: Path, provider: FakeModels) -> object:
    return codex_exec(server, repository, user, provider.session().openai, PROMPT)


def run_qwen(server: list[str], repository: Path, user: Path, provider: FakeModels) -> object:
    command, *arguments = server
    settings = {
        "mcpServers": {"rover": {"command": command, "args": arguments}},
        "security": {"auth": {"selectedType": "openai"}},
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
    }
    (user / ".qwen").mkdir(exist_ok=True)
    (user / ".qwen" / "settings.json").write_text(json.dumps(settings))
    environ = bare_environment(user) | {
        "OPENAI_BASE_URL": provider.session().openai,
        "OPENAI_API_KEY": "sk-of-nobody",
        "OPENAI_MODEL": "qwen3-coder-plus",
        "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
        # It waits for its servers, also for one that is not quick.
        "QWEN_CODE_LEGACY_MCP_BLOCKING": "1",
    }
    argv = [agent_program("qwen"), "--approval-mode", "yolo", "-p", PROMPT]
    return ran(argv, environ, repository)


def run_copilot(server: list[str], repository: Path, user: Path, provider: FakeModels) -> object:
    command, *arguments = server
    entry = {
        "type": "local",
        "command": command,
        "args": arguments,
        "tools": ["*"],
        "timeout": 600_000,
    }
    (user / ".copilot").mkdir(exist_ok=True)
    config = user / ".copilot" / "mcp-config.json"
    config.write_text(json.dumps({"mcpServers": {"rover": entry}}))
    environ = bare_environment(user) | {
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
        "COPILOT_PROVIDER_BASE_URL": provider.session().openai,
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_API_KEY": "sk-of-nobody",
        "COPILOT_MODEL": "gpt-5",
    }
    allow = ["--allow-all-tools", "--allow-all-paths", "--no-ask-user"]
    return ran([agent_program("copilot"), *allow, "-p", PROMPT], environ, repository)


def run_claude(server: list[str], repository: Path, user: Path, provider: FakeAnthropic) -> object:
    command, *arguments = server
    entry = {"command": command, "args": arguments, "alwaysLoad": True}
    config = user / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"rover": entry}}))
    environ = bare_environment(user) | {
        "ANTHROPIC_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "sk-ant-api03-of-nobody",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        **PATIENT,
    }
    more = ["--mcp-config", config, "--strict-mcp-config", "--allowedTools", "mcp__rover"]
    return ran([claude_binary(), "-p", PROMPT, *more], environ, repository)


@dataclass(frozen=True)
class ClientProgram:
    """How a program is run, what its model does, and the provider that plays it."""

    name: str
    run: Run
    turns: tuple[Behaviour, ...] = (tool("create_task", **CREATE),)
    provider: Callable[[list[Behaviour]], Any] = FakeModels


PREFIXED = "mcp__rover__create_task"
# Qwen Code keeps a server's tools from its model until that looks for them.
DEFERRED = (
    tool("tool_search", query=f"select:{PREFIXED}"),
    {**tool("tool_call"), "input": {"name": PREFIXED, "arguments": CREATE}},
)
PROGRAMS: Mapping[str, ClientProgram] = {
    "claude": ClientProgram(
        "Claude Code (`claude -p`)", run_claude, (tool(PREFIXED, **CREATE),), FakeAnthropic
    ),
    "codex": ClientProgram("Codex (`codex exec`)", run_codex),
    "gemini": ClientProgram("Gemini CLI", run_gemini),
    "opencode": ClientProgram("opencode", run_opencode),
    "qwen": ClientProgram("Qwen Code", run_qwen, DEFERRED),
    "copilot": ClientProgram("Copilot CLI", run_copilot, (tool("rover-create_task", **CREATE),)),
}


def shown(program: ClientProgram, folder: Path) -> ShownTools:
    """What its model is shown, in a data folder of its own."""
    repository, user = make_repository(folder / "repo"), folder / "user"
    user.mkdir()
    try:
        with program.provider([*program.turns, text(DONE)]) as provider:
            program.run(launcher(folder / "data"), repository, user, provider)
            bodies = [request.body for request in provider.main_requests]
    finally:
        end_daemon(folder / "data")
    return read_from(bodies, len(program.turns))


def read_from(bodies: Sequence[Mapping[str, Any]], calls: int) -> ShownTools:
    """The first request has the tools, the one after the calls the result of the last of them."""
    said = [json.dumps(body, ensure_ascii=False) for body in bodies]
    last = next(
        bodies[calls][key] for key in ("messages", "input", "contents") if key in bodies[calls]
    )
    result = json.dumps(last[-1], ensure_ascii=False).replace("\\", "")
    return ShownTools(
        tools=sum(name in said[0] for name in TOOLS),
        descriptions=any(DESCRIPTION in one for one in said),
        instructions=INSTRUCTIONS in said[0],
        # It may have begun before the answer was written.
        text=re.search(r"Task 1 (NEW|IN_PROGRESS)", result) is not None,
        json='"number":1' in result.replace(" ", ""),
        branch="rover/1-do-it" in result,
        following="wait_for_task" in result,
    )


def row(name: str, found: ShownTools) -> str:
    """One line of the page's table."""
    facts = (found.descriptions, found.instructions)
    cells = (name, str(found.tools), *("yes" if fact else "no" for fact in facts), found.result)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    for program in PROGRAMS.values():
        folder = Path(tempfile.mkdtemp(prefix="rover-shown-"))
        try:
            found = shown(program, folder)
            print(row(program.name, found), found.branch, found.following, flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
