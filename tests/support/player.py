"""A script that plays an agent's CLI: it notes how it was called, replays a recording, and ends as
a test says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from agent_runner.agents.protocol import Agent, AgentOutcome, AgentRequest
from agent_runner.models import AgentSession, Usage
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunSpec

VERSIONS = {"codex": "codex-cli 0.169.0", "opencode": "1.18.33"}
SCRIPT = """#!{python} -IS
import json, os, sys, time
if sys.argv[1:] == ["--version"]:
    print({version!r})
    sys.exit(0)
note = {{"argv": sys.argv[1:], "env": dict(os.environ), "stdin": sys.stdin.read()}}
open({note!r}, "w").write(json.dumps(note))
sys.stderr.write({stderr!r})
sys.stderr.flush()
sys.stdout.write(open({recording!r}).read())
sys.stdout.flush()
{ending}
"""


class Player:
    """One program, and what its runs told."""

    def __init__(
        self, folder: Path, agent: str, recording: Path, ending: str = "", stderr: str = ""
    ) -> None:
        self.program = str(folder / agent)
        self.note = folder / "note.json"
        script = SCRIPT.format(
            python=sys.executable,
            version=VERSIONS.get(agent, ""),
            note=str(self.note),
            stderr=stderr,
            recording=str(recording),
            ending=ending,
        )
        Path(self.program).write_text(script)
        Path(self.program).chmod(0o755)
        self.sessions: list[AgentSession] = []
        self.used: list[Usage] = []
        self.log: list[str] = []
        self.request = AgentRequest(
            step_id="s",
            prompt="the prompt\n",
            session_id="11111111-1111-4111-8111-111111111111",
            resume=None,
            model=None,
            base_url="http://127.0.0.1:8377",
            token="the-token",
            silence=300,
            timeout=300,
            on_session=self.sessions.append,
            on_usage=self.used.append,
            on_log=self.log.append,
        )

    def run(self, agent: Agent, spec: RunSpec, **changes: Any) -> AgentOutcome:
        """One turn of the request, changed."""
        return anyio.run(agent.run, replace(self.request, **changes), make_commands(spec))

    def run_silent(self, agent: Agent, spec: RunSpec) -> AgentOutcome:
        """A turn whose agent has little time to say something from its session on; before, it has
        long, for a busy machine may start it slowly."""
        return anyio.run(agent.run, impatient(self.request), make_commands(spec))


def impatient(request: AgentRequest) -> AgentRequest:
    """The request with a short limit to the agent's silence as soon as it has a session."""

    def begun(session: AgentSession) -> None:
        request.on_session(session)
        object.__setattr__(made, "silence", 0.2)

    made = replace(request, on_session=begun)
    return made
