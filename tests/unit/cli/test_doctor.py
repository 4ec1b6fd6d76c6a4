"""An engine that isolates nothing is no reason to say that all is well."""

from __future__ import annotations

import io
from typing import Any

from rover_mcp.cli import render
from rover_mcp.cli.doctor import judge_status
from rover_mcp.cli.text import Paint

QUEUE = {"running": 0, "queued": 0, "limit": 2}


def _status(*engines: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "1",
        "engines": list(engines),
        "agents": [],
        "credentials": {},
        "disk": {"free_bytes": 10**10},
    }


def test_what_does_not_isolate_is_said_loudly_and_is_not_the_sandbox() -> None:
    process = {
        "name": "process", "available": True, "version": "no isolation",
        "reason": "NO ISOLATION: the agent runs as you", "limits_not_applied": ["memory"],
    }  # fmt: skip
    checks = {check.name: check for check in judge_status(_status(process))}
    engine = checks["engine process"]
    assert engine.detail.lower().count("no isolation") == 1
    assert (engine.ok, engine.needed) == (False, False), "a warning, not a tick"
    assert not checks["a sandbox"].ok


def test_an_agent_is_told_with_its_version_its_log_in_and_what_it_lacks() -> None:
    codex = {
        "name": "codex", "installed": True, "signed_in": True, "source": "fetched",
        "version": "0.169.0", "credential": "log-in of codex, held by the gateway",
    }  # fmt: skip
    claude = {
        "name": "claude", "installed": True, "signed_in": False, "source": "npm",
        "version": "2.1.330", "hint": "set ANTHROPIC_API_KEY",
    }  # fmt: skip
    status = {**_status(), "agents": [codex, claude], "unpriced": ["openai/new"]}
    checks = {check.name: check for check in judge_status(status)}
    told = "0.169.0, fetched, signed in: log-in of codex, held by the gateway"
    assert checks["agent codex"].detail == told
    assert checks["agent claude"].detail.endswith("not signed in")
    assert checks["agent claude"].todo == "set ANTHROPIC_API_KEY"
    assert checks["an agent"].detail == "codex"
    assert "openai/new" in checks["budgets"].detail
    assert not checks["budgets"].needed
    lines = render.status({**status, "home": "/h", "queue": QUEUE}, Paint(io.StringIO()))
    assert any(told in line for line in lines)
    assert any("openai/new" in line for line in lines)


def test_who_can_only_play_scripts_is_told_so() -> None:
    scripted = {"name": "scripted", "installed": True, "signed_in": True, "source": "built-in"}
    checks = {c.name: c for c in judge_status({**_status(), "agents": [scripted]})}
    assert checks["an agent"].ok
    assert "sign in another" in checks["an agent"].detail
