"""An engine that isolates nothing is no reason to say that all is well."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.doctor_command import Check, _folder, _git, judge_status, lines  # pyright: ignore[reportPrivateUsage]
from rover_mcp.cli.render_status import status_lines
from rover_mcp.cli.terminal_text import Paint, width_of

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
        "version": "0.169.0", "credential": "login of codex, held by the gateway",
    }  # fmt: skip
    claude = {
        "name": "claude", "installed": True, "signed_in": False, "source": "npm",
        "version": "2.1.330", "hint": "set ANTHROPIC_API_KEY",
    }  # fmt: skip
    status = {**_status(), "agents": [codex, claude], "unpriced": ["openai/new"]}
    checks = {check.name: check for check in judge_status(status)}
    told = "0.169.0, fetched, signed in: login of codex, held by the gateway"
    assert checks["agent codex"].detail == told
    assert checks["agent claude"].detail.endswith("not signed in")
    assert checks["agent claude"].todo == "set ANTHROPIC_API_KEY"
    assert checks["an agent"].detail == "codex"
    assert "openai/new" in checks["budgets"].detail
    assert not checks["budgets"].needed
    lines = status_lines({**status, "home": "/h", "queue": QUEUE}, Paint(io.StringIO()))
    assert any(told in line for line in lines)
    assert any("openai/new" in line for line in lines)


def test_who_can_only_play_scripts_is_told_so() -> None:
    """B.7: nothing is called ready where no real agent can work."""
    scripted = {"name": "scripted", "installed": True, "signed_in": True, "source": "built-in"}
    checks = {c.name: c for c in judge_status({**_status(), "agents": [scripted]})}
    assert not checks["an agent"].ok
    assert "`scripted`, which only plays scripts" in checks["an agent"].detail
    assert "rover login anthropic" in checks["an agent"].todo
    verdict = lines([checks["an agent"]], Paint(io.StringIO()))[-1]
    assert "No agent can work yet" in verdict
    assert "rover demo" in verdict


def _stand_in(folder: Path, program: str) -> None:
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "git").chmod(0o755)


@pytest.mark.known_escape(10, 15)
def test_a_git_that_loses_a_carriage_return_is_named_whatever_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C.16: the behaviour is probed (CVE-2025-48384): distributions port fixes back."""
    assert _git().ok, "the git of these tests has the fix"
    _stand_in(
        tmp_path / "old",
        'PATH=${PATH#*:}; case "$1" in --version) echo git version 2.99.0;; '
        "*) git \"$@\" | tr -d '\\r';; esac",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'old'}:{os.environ['PATH']}")
    found = _git()
    assert not found.ok
    assert "CVE-2025-48384" in found.detail
    assert found.todo


def test_a_git_that_is_too_old_or_says_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, program in {"old": "echo git version 2.30.9", "mute": "exit 1"}.items():
        _stand_in(tmp_path / name, program)
        monkeypatch.setenv("PATH", str(tmp_path / name))
        assert not _git().ok
        assert "2.34" in _git().todo


@pytest.mark.parametrize("name", ["a:b", "a\nb", "a\rb", "a\x1bb", "a\udcffb"])
def test_a_data_folder_whose_path_git_cannot_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """C.16: at start, with the reason. At 700cc57 a colon in it had every bundle refused."""
    from rover_mcp.daemon.__main__ import EXIT_DATA_FOLDER, main

    home = str(tmp_path / name)
    assert not _folder(home).ok
    monkeypatch.setenv("ROVER_HOME", home)
    assert main() == EXIT_DATA_FOLDER
    assert "cannot be used" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_are_wrapped_at_words(width: int) -> None:
    """Nothing is broken within a word, whatever the terminal's width."""
    words = " ".join(f"word{n}" for n in range(60))
    checks = [Check("a sandbox", False, words, f"do {words}"), Check("git", True, "2.50")]
    paint = Paint(io.StringIO())
    paint.width = width
    told = lines(checks, paint)
    assert all(width_of(line) <= width for line in told[:-1])
    assert set(words.split()) <= set(" ".join(told).split())
    assert told[0].startswith("✘ a sandbox")
