"""An engine that isolates nothing is no reason to say that all is well."""

from __future__ import annotations

from typing import Any

from rover_mcp.cli.doctor import judge_status


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
    assert "NO ISOLATION" in checks["engine process"].detail
    assert not checks["a sandbox"].ok
