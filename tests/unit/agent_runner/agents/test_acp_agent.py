"""The driver for the Agent Client Protocol. A script plays the agent here;
tests/integration speaks with real ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_runner.acp_programs import AcpProgram
from agent_runner.agents import acp_program, agent_names, agent_provider, define_agents, make_agent
from agent_runner.agents.acp import AcpAgent
from agent_runner.agents.acp_events import AcpStream, RpcError, failure_of
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest, SessionLost
from agent_runner.models import AgentSession, Usage
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunSpec, WrapCommand
from tests.support.player import impatient

PLAYER = Path(__file__).with_name("acp_player.py")
Order = dict[str, Any]


def answer(method: str, /, **result: Any) -> Order:
    return {"answer": method, "with": {"result": result}}


def refuse(method: str, code: int, message: str, **more: Any) -> Order:
    return {"answer": method, "with": {"error": {"code": code, "message": message, **more}}}


def update(kind: str, /, **fields: Any) -> Order:
    told = {"sessionId": "s1", "update": {"sessionUpdate": kind, **fields}}
    return {"say": {"method": "session/update", "params": told}}


def chunk(text: str) -> Order:
    return update("agent_message_chunk", content={"type": "text", "text": text})


def ask(method: str, /, **params: Any) -> list[Order]:
    return [
        {"say": {"id": 77, "method": method, "params": {"sessionId": "s1", **params}}},
        {"hear": 1},
    ]


HELLO = answer(
    "initialize",
    protocolVersion=1,
    agentCapabilities={"loadSession": True},
    agentInfo={"name": "player", "version": "1.2"},
)
NEW = answer("session/new", sessionId="s1")
DONE = answer("session/prompt", stopReason="end_turn")


class AcpScript:
    def __init__(self, folder: Path, orders: list[Order], *, stay: bool = True) -> None:
        self.folder = folder
        self.orders = folder / ("orders.stay" if stay else "orders")
        self.orders.write_text("".join(json.dumps(o) + "\n" for o in orders))
        self.heard_file = folder / "heard"
        self.sessions: list[AgentSession] = []
        self.log: list[str] = []

    def run(self, spec: RunSpec, **program: Any) -> AgentOutcome:
        return anyio.run(self.turn, spec, program, {})

    async def turn(
        self,
        spec: RunSpec,
        program: dict[str, Any],
        changes: dict[str, Any],
        of: Callable[[AgentRequest], AgentRequest] = lambda request: request,
    ) -> AgentOutcome:
        argv = (sys.executable, "-IS", str(PLAYER), str(self.orders), str(self.heard_file))
        request = AgentRequest(
            step_id="s", prompt="the prompt", session_id="unused", resume=None, model=None,
            base_url="http://127.0.0.1:8377", token="the-token", silence=300, timeout=300,
            on_session=self.sessions.append, on_usage=print, on_log=self.log.append,
        )  # fmt: skip
        here = WrapCommand(prefix=["/usr/bin/env", "-C", str(self.folder)], forwarder=[])
        spec = spec.model_copy(update={"isolation": here})
        agent = AcpAgent("player", AcpProgram(acp=argv, provider="openai", **program))
        return await agent.run(of(replace(request, **changes)), make_commands(spec))

    def heard(self, method: str) -> dict[str, Any]:
        lines = map(json.loads, self.heard_file.read_text().splitlines())
        return next(m["params"] for m in lines if m.get("method") == method)

    def answered(self) -> dict[str, Any]:
        """What it got for the one call of its own."""
        lines = map(json.loads, self.heard_file.read_text().splitlines())
        return next(m for m in lines if m.get("id") == 77)


def test_a_turn_gives_its_text_session_and_usage(bare: RunSpec, tmp_path: Path) -> None:
    used = {"totalTokens": 9, "inputTokens": 5, "outputTokens": 3, "cachedReadTokens": 1}
    play = AcpScript(
        tmp_path,
        [
            HELLO,
            NEW,
            chunk("Let me see."),
            update("tool_call", toolCallId="1", title="a.py", kind="edit"),
            update("an_update_of_the_future", x=1),
            update("usage_update", used=1, size=2, cost={"amount": 0.5, "currency": "USD"}),
            chunk("All "),
            chunk("done."),
            answer("session/prompt", stopReason="end_turn", usage=used),
        ],
    )
    outcome = play.run(bare)
    assert outcome.text == "All done."
    assert outcome.session == AgentSession(agent="player", session_id="s1", version="1.2")
    assert play.sessions == [outcome.session]
    assert outcome.usage == Usage(
        input_tokens=5, output_tokens=3, cache_read_tokens=1, cost_usd=0.5
    )
    assert play.log == ["Let me see.", "edit a.py", "All", "done."]
    assert play.heard("session/new")["cwd"] == str(tmp_path)
    assert play.heard("session/prompt")["prompt"] == [{"type": "text", "text": "the prompt"}]


def test_what_it_asks_leave_for_is_allowed_this_once(bare: RunSpec, tmp_path: Path) -> None:
    kinds = ("reject_once", "allow_always", "allow_once")
    options = [{"optionId": f"o-{k}", "name": k, "kind": k} for k in kinds]
    asked = ask("session/request_permission", toolCall={"toolCallId": "1"}, options=options)
    play = AcpScript(tmp_path, _with_prompt_open([HELLO, NEW, *asked]), stay=False)
    with pytest.raises(AgentFailed):
        play.run(bare)
    outcome = play.answered()["result"]["outcome"]
    assert outcome == {"outcome": "selected", "optionId": "o-allow_once"}


def _with_prompt_open(orders: list[Order]) -> list[Order]:
    """The prompt is heard and not answered: what the agent asks comes in between."""
    return [*orders[:2], {"hear": 1}, *orders[2:]]


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("a.txt", {}, "one\ntwo\nthree\n"),
        ("a.txt", {"line": 2, "limit": 1}, "two\n"),
        ("sub", {}, "It holds:\nx.py\n"),
    ],
)
def test_a_file_is_read_for_it_and_a_folder_is_listed(
    bare: RunSpec, tmp_path: Path, path: str, given: dict[str, int], expected: str
) -> None:
    """G9: an agent that reads a directory as if it were a file gets a listing."""
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "sub/x.py").touch()
    (work / "a.txt").write_text("one\ntwo\nthree\n")
    asked = ask("fs/read_text_file", path=str(work / path), **given)
    play = AcpScript(tmp_path, _with_prompt_open([HELLO, NEW, *asked]), stay=False)
    with pytest.raises(AgentFailed, match="status 0"):
        play.run(bare, files=True)
    assert play.answered()["result"]["content"].endswith(expected)
    assert play.heard("initialize")["clientCapabilities"]["fs"]["readTextFile"] is True


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("fs/read_text_file", {"path": "/etc/passwd"}, -32603),
        ("fs/read_text_file", {"path": 3}, -32603),
        ("terminal/create", {"command": "x"}, -32601),
    ],
)
def test_what_it_may_not_have_is_refused(
    bare: RunSpec, tmp_path: Path, method: str, params: dict[str, Any], code: int
) -> None:
    play = AcpScript(tmp_path, _with_prompt_open([HELLO, NEW, *ask(method, **params)]), stay=False)
    with pytest.raises(AgentFailed):
        play.run(bare)
    assert play.answered()["error"]["code"] == code


def test_a_file_is_written_for_it(bare: RunSpec, tmp_path: Path) -> None:
    target = tmp_path / "new" / "b.txt"
    asked = ask("fs/write_text_file", path=str(target), content="hi")
    play = AcpScript(tmp_path, _with_prompt_open([HELLO, NEW, *asked]), stay=False)
    with pytest.raises(AgentFailed):
        play.run(bare)
    assert play.answered()["result"] == {}
    assert target.read_text() == "hi"


def test_a_loaded_session_does_not_answer_with_its_history(bare: RunSpec, tmp_path: Path) -> None:
    """F8. Some tell it after they said that it is loaded."""
    orders = [HELLO, {"hear": 1}, chunk("Old."), answer_to(2), chunk("Older."), DONE]
    play = AcpScript(tmp_path, orders)
    known = AgentSession(agent="player", session_id="s1")

    async def turn() -> AgentOutcome:
        return await play.turn(bare, {}, {"resume": known})

    outcome = anyio.run(turn)
    assert outcome.text == ""
    assert play.log == []
    assert play.heard("session/load")["sessionId"] == "s1"


def answer_to(number: int) -> Order:
    """To a call that was heard before."""
    return {"say": {"id": number, "result": {}}}


@pytest.mark.parametrize(
    ("orders", "lost"),
    [
        ([HELLO, refuse("session/load", -32603, "x", data={"details": "no such session"})], True),
        ([answer("initialize", protocolVersion=1)], True),
        ([HELLO, refuse("session/load", -32000, "Authentication required")], False),
        ([HELLO, refuse("session/load", 429, "too many requests")], False),
    ],
)
def test_a_session_that_cannot_be_loaded_is_lost_unless_the_account_is_why(
    bare: RunSpec, tmp_path: Path, orders: list[Order], lost: bool
) -> None:
    play = AcpScript(tmp_path, orders)
    known = AgentSession(agent="player", session_id="s1")

    async def turn() -> AgentOutcome:
        return await play.turn(bare, {}, {"resume": known})

    with pytest.raises(AgentFailed) as caught:
        anyio.run(turn)
    assert isinstance(caught.value, SessionLost) == lost


def test_it_authenticates_on_request_and_sets_the_mode_that_asks_nothing(
    bare: RunSpec, tmp_path: Path
) -> None:
    modes = {
        "currentModeId": "ask",
        "availableModes": [{"id": i, "name": i} for i in ("ask", "yolo")],
    }
    orders = [
        HELLO,
        refuse("session/new", -32000, "Authentication required"),
        answer("authenticate"),
        answer("session/new", sessionId="s1", modes=modes),
        answer("session/set_mode"),
        DONE,
    ]
    play = AcpScript(tmp_path, orders)
    play.run(bare, auth_method="key", mode="yolo")
    assert play.heard("authenticate") == {"methodId": "key"}
    assert play.heard("session/set_mode")["modeId"] == "yolo"


def test_one_that_falls_silent_is_stopped(bare: RunSpec, tmp_path: Path) -> None:
    play = AcpScript(tmp_path, [HELLO, NEW])

    async def turn() -> AgentOutcome:
        return await play.turn(bare, {}, {}, impatient)

    with pytest.raises(AgentFailed) as caught:
        anyio.run(turn)
    assert caught.value.failure.code == "silence"
    assert caught.value.session is not None


def test_a_turn_that_is_given_up_is_cancelled_by_its_own_word(
    bare: RunSpec, tmp_path: Path
) -> None:
    """E1: before the signal, so that it can store what it has."""
    play = AcpScript(tmp_path, [HELLO, NEW, {"hear": 1}, chunk("begun"), {"hear": 1}])

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play.turn, bare, {}, {})
            with anyio.fail_after(300):
                while "begun" not in play.log:  # noqa: ASYNC110 - bounded
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    anyio.run(work)
    assert play.heard("session/cancel") == {"sessionId": "s1"}


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("Ran into this error: Context length exceeded: x.", True),
        ("Error: Failed to get response from the AI model; Last error: 429 x", True),
        ("Error: the parser rejects an empty name, so I added a test.", False),
        ("Done. Ran into this error: Rate limit exceeded", False),
    ],
)
def test_a_last_message_that_is_an_error_is_one(text: str, fails: bool) -> None:
    """D3: a model may begin a message so too; only an error that is known counts."""
    reading = AcpStream()
    reading.take({"sessionUpdate": "agent_message_chunk", "content": {"text": text}})
    assert reading.verdict({"stopReason": "end_turn"}, None) is None
    assert reading.doubt(None).counts == fails


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        ({"code": -32000, "message": "Authentication required"}, (None, "authentication_error")),
        ({"code": 429, "message": "m"}, (429, None)),
        ({"code": -32603, "message": "m", "data": {"errorKind": "billing_error"}}, (None, "billing_error")),
        ({"code": -32603, "message": "m", "data": {"details": "401 no"}}, (401, None)),
        ({"code": -32603, "message": "m", "data": {"codex_error_info": "server_overloaded"}}, (None, "server_overloaded")),
        ({"code": -32603, "message": "m", "data": {"codex_error_info": {"a": {"http_status_code": 429}}}}, (429, "a")),
        ({"code": -32603, "message": "m", "data": {"errorName": "APIError"}}, (None, "APIError")),
        ({}, (None, None)),
    ],
)  # fmt: skip
def test_what_an_error_answer_tells(error: dict[str, Any], fields: tuple[object, object]) -> None:
    failure = failure_of(RpcError(error), "openai")
    assert (failure.status, failure.code) == fields


def test_an_environment_is_filled_in_once() -> None:
    program = AcpProgram(
        acp=("x",),
        provider="openai",
        environment={"A": "{token} {base_url} {other} {", "M": "{model}"},
        model_arguments=("-m", "{model}"),
    )
    made = program.environ("http://g", "{model}", None)
    assert made == {
        "OPENAI_BASE_URL": "http://g/openai/v1",
        "OPENAI_API_KEY": "{model}",
        "A": "{model} http://g {other} {",
    }
    assert program.environ("http://g", "t", "m")["M"] == "m"
    assert (program.argv(None), program.argv("m")) == (["x"], ["x", "-m", "m"])


def test_goose_and_cursor_are_known_and_a_user_names_others(tmp_path: Path) -> None:
    assert {"goose", "cursor"} <= set(agent_names())
    assert (agent_provider("goose"), agent_provider("cursor")) == ("openai", None)
    try:
        define_agents({"mine": AcpProgram(acp=("mine", "acp"), provider="google")})
        assert agent_provider("mine") == "google"
        assert make_agent("mine", tmp_path).name == "mine"
        assert acp_program("claude") is None
    finally:
        define_agents({})
    assert "mine" not in agent_names()
