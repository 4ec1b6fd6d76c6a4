"""When an agent's own program is run for its login, and what follows where that does not help."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rover_mcp.daemon import login_renewals
from rover_mcp.daemon.login_renewals import AHEAD, FIRST, MOST, LoginRenewals, have_renewed

HOUR = 3600.0


@dataclass
class Host:
    """A user whose claude is logged in; the clock is the test's."""

    folder: Path
    now: float = 1_000_000.0
    renews: bool = True
    wanted: bool = True
    runs: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        program = self.folder / "bin" / "claude"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.environ = {
            "PATH": str(program.parent),
            "CLAUDE_CONFIG_DIR": str(self.folder),
            "ANTHROPIC_API_KEY": "sk-of-a-task",
        }
        self.renewals = LoginRenewals(
            lambda: [("claude", self.environ)], lambda: self.wanted, self.renew, lambda: self.now
        )

    def login(self, expires: float, **more: object) -> None:
        kept = {"accessToken": "t", "refreshToken": "r", "expiresAt": int(expires * 1000), **more}
        path = self.folder / ".credentials.json"
        path.write_text(json.dumps({"claudeAiOauth": kept}))

    def renew(self, kind: str, program: str, environ: Mapping[str, str]) -> None:
        self.runs.append(program)
        if self.renews:
            self.login(self.now + 8 * HOUR)

    def obstacle(self) -> str | None:
        return self.renewals.obstacle("claude", self.environ)

    def tended(self) -> int:
        self.renewals.renew_due()
        return len(self.runs)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_log_in_is_renewed_at_its_end_and_not_before(host: Host) -> None:
    """Q5: nor while no task may need it; what has expired is renewed too."""
    host.login(host.now + AHEAD["claude"] + 1)
    assert host.tended() == 0
    host.now += 2
    host.wanted = False
    assert host.tended() == 0
    host.wanted = True
    assert host.tended() == 1
    assert host.tended() == 1
    host.now += 20 * HOUR
    assert host.tended() == 2
    assert host.runs == [host.environ["PATH"] + "/claude"] * 2


def test_a_program_that_does_not_renew_is_tried_less_and_less(host: Host) -> None:
    """Q5: and a person is told from then on."""
    host.renews = False
    host.login(host.now - 1)
    assert host.obstacle() is None
    waits: list[float] = []
    while len(waits) < 8:
        before, tried = host.now, host.tended()
        while host.tended() == tried:
            host.now += 60
        waits.append(host.now - before)
    assert waits[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert waits[-1] == MOST
    assert "did not renew it: it left the login as it was" in str(host.obstacle())
    host.login(host.now - 1)
    assert host.obstacle() is None, "its owner has signed in anew"
    host.renews = True
    host.now += MOST
    host.tended()
    assert host.obstacle() is None


def test_without_the_program_or_the_log_in_nothing_is_run(host: Host) -> None:
    """Q5."""
    assert host.tended() == 0
    host.login(host.now - 1)
    (host.folder / "bin" / "claude").unlink()
    assert host.tended() == 0
    assert "no claude on the PATH" in str(host.obstacle())


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"refreshToken": None}, "no token to renew it with"),
        ({"refreshToken": ""}, "no token to renew it with"),
        ({"refreshTokenExpiresAt": 1_000_000_000 + 7_000_000}, "until 1970-01-12 15:43Z only"),
        ({"refreshTokenExpiresAt": 1_000_000_000 + 90_000_000}, None),
    ],
)
def test_what_cannot_be_renewed_is_known_hours_before(
    host: Host, more: dict[str, object], why: str | None
) -> None:
    """Q5: from what the file holds, and no program is run for it."""
    host.login(host.now + 8 * HOUR, **more)
    assert (why is None and host.obstacle() is None) or str(why) in str(host.obstacle())
    assert host.tended() == 0


def test_a_program_that_renews_at_any_time_is_asked_hours_before(host: Host) -> None:
    """Q5: so that a refusal is known early; a login that is short is not renewed all the time."""
    lives, kinds = 2 * HOUR, [("codex", host.environ)]

    def login() -> None:
        coded = base64.urlsafe_b64encode(json.dumps({"exp": host.now + lives}).encode()).decode()
        tokens = {"access_token": f"e30.{coded}.x", "refresh_token": "r"}
        (host.folder / "auth.json").write_text(json.dumps({"tokens": tokens}))

    def renew(kind: str, program: str, environ: Mapping[str, str]) -> None:
        host.runs.append(program)
        if host.renews:
            login()

    host.environ["CODEX_HOME"] = str(host.folder)
    (host.folder / "bin" / "codex").symlink_to("claude")
    host.renewals = LoginRenewals(lambda: kinds, lambda: True, renew, lambda: host.now)
    login()
    host.now += 60
    assert host.tended() == 1
    host.now += lives / 3
    assert host.tended() == 1
    host.renews = False
    host.now += lives / 3
    assert host.tended() == 2
    assert "did not renew" in str(host.renewals.obstacle("codex", host.environ))


def test_the_program_gets_nothing_of_a_task_and_is_ended_in_time(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the user's own environment, outside of every repository."""
    monkeypatch.setattr(login_renewals, "LIMIT", 10.0)
    program, seen = host.folder / "bin" / "claude", host.folder / "seen"
    program.write_text(f"#!/bin/sh\n{{ env; pwd; echo $*; }} > {seen}\nexec /bin/sleep 1000\n")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        have_renewed("claude", str(program), {**host.environ, "PATH": os.environ["PATH"]})
    assert time.monotonic() - began < 300
    told = seen.read_text()
    assert "sk-of-a-task" not in told
    assert f"CLAUDE_CONFIG_DIR={host.folder}" in told
    assert "rover-renewal-" in told
    assert "auth status" in told
