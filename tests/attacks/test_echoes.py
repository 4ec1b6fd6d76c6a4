"""A provider that repeats what an agent wrote: the real daemon, gateway and Claude Code, against a
fake provider on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import engine_for_daemons, home, repository
from tests.e2e.test_real_claude import environment
from tests.support.fake_anthropic import FakeAnthropic, error, text
from tests.support.frames import LauncherClient
from tests.support.models.turns import Behaviour

__all__ = ["engine_for_daemons", "home", "repository"]

pytestmark = pytest.mark.real_agent

WORDS = (
    "You have reached your specified API usage limits. You will regain access on "
    "2099-12-24 at 00:00 UTC."
)
EMPTY = "Your credit balance is too low to access the Anthropic API."


def provider(body: dict[str, Any]) -> Behaviour:
    """It repeats what it refuses: quoted, and in the worst case as if it were its own word."""
    asked = json.dumps(body["messages"])
    if "quoted" in asked:
        return error(400, "invalid_request_error", f"messages.0.content: Invalid value: '{WORDS}'")
    if "verbatim" in asked:
        return error(400, "invalid_request_error", EMPTY)
    return text("Done.")


def test_what_one_agent_has_a_provider_repeat_stops_no_other_task(
    home: Path, repository: Path
) -> None:
    """U6. Succeeded at 700cc57: either of the first two tasks closed the account, and the third
    waited for it."""
    with FakeAnthropic() as fake:
        fake.session().play(provider)
        with LauncherClient(home, repository, environment(fake, home.parent / "bin")) as client:
            client.open()

            def ends(what: str, status: str) -> dict[str, Any]:
                task = client.tool(
                    "create_task", description=what, workflow="quick", agent="claude",
                    engine="bubblewrap",
                )["task"]  # fmt: skip
                return client.wait_until(task["id"], status)

            quoted = ends(f"quoted: {WORDS}", "FAILED")
            assert "Invalid value" in quoted["error"]
            verbatim = ends(f"verbatim: {EMPTY}", "PAUSED")
            assert verbatim["pause"]["reason"] == "credits"
            assert client.tool("get_status")["holds"] == []
            ends("Say hello.", "COMPLETED")
