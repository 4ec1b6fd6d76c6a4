"""`rover explain`: errors through the readers and rules of a run, with no daemon."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.command_line import main
from rover_mcp.explain import Explained, Rejected, explain, parse
from tests.limits import corpus

NOW = "2026-11-23T10:00:00Z"
WEEK = {"agent": "claude", "reader": "claude", "status": 429, "now": NOW} | {
    "text": "You've hit your weekly limit · resets Nov 25, 3am (UTC)"
}


def given(*cases: object) -> list[Explained | Rejected]:
    lines = [c if isinstance(c, str) else json.dumps(c) for c in cases]
    return [explain(one) for one in parse("\n".join(lines))]


def explained(**case: object) -> Explained:
    (found,) = given({"now": NOW, **case})
    assert isinstance(found, Explained), found
    return found


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    status = main(["explain", *argv])
    return status, capsys.readouterr().out


def test_one_line_of_json_answers_each_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason, the rule, the time and the plan."""
    cases = tmp_path / "cases.jsonl"
    fatal = {"reader": "claude", "text": "Prompt is too long", "now": NOW}
    cases.write_text(f"{json.dumps(WEEK)}\n\n{json.dumps(fatal)}\n")
    status, out = told(capsys, "--json", str(cases))
    answers: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [a["reason"] for a in answers] == ["usage_window", "failure"]
    assert [a["retry_at"] for a in answers] == ["2026-11-25T03:00:00Z", None]
    assert answers[0]["rule"].startswith("window")
    assert "2026-11-25 03:00" in answers[0]["plan"]
    assert [a["line"] for a in answers] == [1, 3]


def test_people_see_what_a_paused_task_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """D10."""
    data = io.TextIOWrapper(io.BytesIO(json.dumps(WEEK).encode()))
    monkeypatch.setattr("sys.stdin", data)
    status, out = told(capsys)
    assert status == 0
    assert "Reason: usage_window" in out
    assert "this task alone: only the agent says so" in out
    assert "It resumes automatically at" in out


def test_bare_text_is_taken_as_the_words_of_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("Credit balance is too low\n", '{"error": {"message": "Insufficient balance"}}'):
        (found,) = given(text)
        assert isinstance(found, Explained)
        assert found.reason == "credits"
    many = given('{\n "error": {\n "code": "insufficient_quota", "message": "no more"\n}\n}')
    assert [getattr(m, "reason", None) for m in many] == ["credits"]


def test_a_bad_line_is_named_and_the_others_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "cases.jsonl"
    lines = [
        json.dumps(WEEK),
        "{not json",
        "[1, 2]",
        json.dumps({"reader": "claude"}),
        json.dumps({"text": "x", "status": "many"}),
        json.dumps({"text": "x", "reader": "nobody"}),
        json.dumps({"text": "x", "reader": "acp_error"}),
        json.dumps({"text": "[]", "reader": "acp_error"}),
        json.dumps({"text": "x", "reader": "http", "status": 429, "fields": {"provider": "?"}}),
        json.dumps({"text": "x", "reader": "gemini_success"}),
        json.dumps({"text": "x", "now": "yesterday"}),
        '{"text": "' + "x" * 1_000_001 + '"}',
    ]
    cases.write_text("\n".join(lines))
    status, out = told(capsys, "--json", str(cases))
    answers: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert "error" not in answers[0]
    assert [a["line"] for a in answers[1:]] == list(range(2, 13))
    for answer, word in zip(
        answers[1:],
        ("JSON", "object", "text", "status", "nobody", "JSON", "object", "API", "success", "now",
         "longer"),
        strict=True,
    ):  # fmt: skip
        assert word in answer["error"]
    status, out = told(capsys, str(cases))
    assert status == 1
    assert "line 2: it is not valid JSON" in out


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_input_is_an_error(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.write_text(content)
    assert main(["explain", str(empty)]) == 1
    assert "empty" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(tmp_path / "none")]) == 1
    assert main(["explain", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("cannot be read") == 2


def test_fields_that_nothing_reads_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(reader="claude", text="Credit balance is too low", stauts=400, id=3)
    assert found.ignored == ("stauts",)
    assert found.as_json()["ignored"] == ["stauts"]
    assert found.as_json()["id"] == "3"


def test_the_gateways_reader_sees_headers_streams_and_missing_answers() -> None:
    """D1: what a provider answered, in each API."""
    headers = {"retry-after": "7", "x-unrelated": "1"}
    limited = {"error": {"type": "rate_limit_error", "message": "slow down"}}
    found = explained(reader="http", agent="claude", status=429, headers=headers, text=limited)
    assert found.as_json()["retry_at"] == "2026-11-23T10:00:07Z"
    assert found.as_json()["tries_in_place"] == [10, 20]
    assert "every task" in str(found.account)
    stream = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
    kind = {"ctype": "text/event-stream", "provider": "anthropic"}
    assert explained(reader="http", status=200, text=stream, fields=kind).reason == "transient"
    assert explained(reader="http", text="connection reset by peer").reason == "transient"
    assert explained(status=402, text="pay").reason == "credits"
    google = {"provider": "gemini"}
    busy = '{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}'
    assert explained(reader="http", status=503, text=busy, fields=google).reason == "transient"


def test_each_agents_reader_takes_its_own_fields() -> None:
    """D1: what only a field tells is not lost."""
    at = "2026-11-23T13:00:00Z"
    full = {"assistant_error": "rate_limit", "resetsAt": at, "rateLimitType": "five_hour"}
    info = {"rate_limit_info": {"status": "rejected", "resetsAt": 1795438800}}
    for fields in (full, {**info, "api_error": "usage_limit_reached"}):
        claude = explained(reader="claude", status=429, text="limit", fields=fields)
        assert claude.as_json()["retry_at"] == at
    codex = {"rollout": "usage_limit_exceeded", "resets_at": 1795438800}
    assert explained(reader="codex", text="…", fields=codex).as_json()["retry_at"] == at
    assert explained(reader="codex", text="…", fields={"resets_at": "?"}).reason == "failure"
    assert explained(reader="gemini", text="Too many", fields={"code": 173}).reason == "rate_limit"
    assert explained(reader="gemini", text="Too many", status=429).reason == "rate_limit"
    body = {"body": '{"error": {"code": "insufficient_quota", "message": "none"}}'}
    assert explained(reader="opencode", status=429, text="x", fields=body).reason == "credits"
    call = {"errorCode": "insufficient_quota", "errorType": "query"}
    assert explained(reader="copilot", status=429, text="x", fields=call).reason == "credits"
    assert explained(reader="qwen", text="[API Error: 402 pay]").reason == "credits"
    for reader in ("claude_success", "qwen_success"):
        assert explained(reader=reader, text="Error: 429").reason == "success"
    assert explained(reader="claude_result", text="Credit balance is too low").reason == "credits"


def test_without_a_reader_the_way_it_arrived_decides() -> None:
    for case, reader in (
        ({"arrives_as": "http", "status": 402}, "credits"),
        ({"agent": "claude", "text": "Credit balance is too low"}, "credits"),
        ({"agent": "x over ACP", "arrives_as": "text", "text": "Error: it is done"}, "success"),
        ({"agent": "x", "text": '{"code": -32000, "message": "sign in"}'}, "auth"),
    ):
        assert explained(**case).reason == reader


def test_a_plan_says_where_it_ends() -> None:
    """K3."""
    auth = explained(status=401, text="no").as_json()
    assert "until a person acts" in auth["plan"]
    assert auth["ends_at"] is None
    assert explained(reader="claude_success", text="done").as_json()["plan"].startswith("The step")
    assert "fails at once" in explained(reader="claude", text="what?").as_json()["plan"]


def test_the_corpus_and_the_command_agree() -> None:
    """D8: what an agent's fields say means the same through the command."""
    for m in corpus():
        f = m.failure
        if f.source == "agent" and f.status is None and not (f.type or f.code or f.body):
            if f.interrupted or f.reset_at or f.retry_after:
                continue
            error = {"code": -32603, "message": f.message}
            found = explained(reader="acp_error", text=json.dumps(error))
            assert found.reason == (str(m.reason) if m.reason else "failure"), m.name


def test_it_needs_no_daemon_and_starts_without_one(tmp_path: Path) -> None:
    """It imports neither the daemon nor the server, and makes no data folder."""
    code = (
        "import sys; from rover_mcp.cli.command_line import main; main(['explain', '--json']);"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="Credit balance is too low",
        env={"HOME": str(tmp_path), "ROVER_HOME": str(tmp_path / "rover")},
        capture_output=True,
        text=True,
        check=True,
    )
    answer, modules = done.stdout.splitlines()
    assert json.loads(answer)["reason"] == "credits"
    assert not {"rover_mcp.daemon.daemon", "dbos", "mcp.server", "docker"} & set(modules.split())
    assert not (tmp_path / "rover").exists()
