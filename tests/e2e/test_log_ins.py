"""Subscriptions that the real CLIs are logged in to on the host, held by the gateway: the real codex
and claude in real sandboxes, against a fake provider on loopback."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import wait_until
from tests.support.docker_env import cache_folder
from tests.support.fake_models import FakeModels, Session
from tests.support.frames import LauncherClient
from tests.support.models.turns import credit, text, usage_window, write
from tests.support.real_claude import claude_binary
from tests.support.repos import git
from tests.support.sign_in import sign_in
from tests.support.timers import its_time_comes

pytestmark = pytest.mark.real_agent

ACCOUNT = "acc-0f8e"
RENEWAL = "the-token-that-renews"
WINDOW = 7200
HOUR = 3600
ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]


def token(expires: float) -> str:
    """As ChatGPT's: a web token; nobody here asks for its signature."""
    claims = {"exp": int(expires), "https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT}}
    parts = ({"alg": "none"}, claims)
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, "unsigned"])


@dataclass
class Host:
    """A user's machine: what their programs keep of their logins, and Rover's data folder."""

    folder: Path
    home: Path

    def codex(self, expires: float) -> str:
        """Log in to ChatGPT; the access token."""
        access = token(expires)
        tokens = {"id_token": access, "access_token": access, "refresh_token": RENEWAL,
                  "account_id": ACCOUNT}  # fmt: skip
        return self._keep("codex/auth.json", {"OPENAI_API_KEY": None, "tokens": tokens}, access)

    def claude(self, expires: float) -> str:
        """Log in to Claude; the access token."""
        access = f"sk-ant-oat01-{expires:.0f}"
        kept = {"accessToken": access, "refreshToken": RENEWAL, "expiresAt": int(expires * 1000),
                "scopes": ["user:inference", "user:profile"], "subscriptionType": "max"}  # fmt: skip
        return self._keep("claude/.credentials.json", {"claudeAiOauth": kept}, access)

    def _keep(self, name: str, content: dict[str, Any], access: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return access

    def log_in(self, agent: str, expires: float) -> str:
        return self.codex(expires) if agent == "codex" else self.claude(expires)

    def configure(self, agent: str, session: Session, **more: Any) -> None:
        provider, url = {
            "codex": ("openai", session.openai),
            "claude": ("anthropic", session.anthropic),
        }[agent]
        source = {"login": agent, "base_url": url}
        settings = {"auto_resume": False, "credentials": {provider: source}, **more}
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.yaml").write_text(json.dumps(settings))

    def environment(self) -> dict[str, str]:
        return {
            "CODEX_HOME": str(self.folder / "codex"),
            "CLAUDE_CONFIG_DIR": str(self.folder / "claude"),
            "ROVER_AGENT_CACHE": str(cache_folder() / "agents"),
            "OPENAI_API_KEY": "",
        }


@pytest.fixture
def host(home: Path, tmp_path: Path) -> Host:
    return Host(tmp_path / "host", home)


def create(client: LauncherClient, agent: str, engine: str) -> str:
    description = "Write hello.txt"
    made = client.tool(
        "create_task", description=description, workflow="quick", agent=agent, engine=engine
    )
    return made["task"]["id"]


def goes_on_to_its_end(client: LauncherClient, task: str) -> None:
    """A task that is still paused, and that nobody resumes."""

    def status() -> str:
        return client.tool("inspect", task=task)["task"]["status"]

    client.until(lambda: status() not in ("PAUSED", "IN_PROGRESS"), "it has ended")
    assert status() == "COMPLETED"


def nowhere(folder: Path, *secrets: str) -> None:
    """Not in a journal, a log, a spec, the database, a snapshot or an agent's HOME."""
    for secret in secrets:
        found = subprocess.run(
            ["grep", "-rlaF", secret, str(folder)], capture_output=True, text=True, check=False
        )
        assert found.stdout == ""


def agent_of(client: LauncherClient, name: str) -> dict[str, Any]:
    agents = client.tool("get_status")["agents"]
    return next(a for a in agents if a["name"] == name)


@pytest.mark.parametrize("agent", ["codex", "claude"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_log_in_on_the_host_is_held_and_its_window_pauses_the_task(
    host: Host, repository: Path, agent: str, engine: str
) -> None:
    """M2, D2: the provider gets the login, the sandbox does not; the pause has the window's end."""
    access = host.log_in(agent, time.time() + HOUR)
    # What runs inside tells its environment and looks for the login in all that it can read.
    look = (
        "(env; cat /proc/*/environ /rover/spec/* ~/.codex/* ~/.claude*) 2>&1"
        " | tr -cd '[:print:]\n' > seen.txt"
    )
    with FakeModels() as provider:
        session = provider.session("a")
        host.configure(agent, session)
        session.push(
            {"do": "bash", "command": look},
            write("hello.txt", "hi\n"),
            usage_window(WINDOW, times=9),
        )
        with LauncherClient(host.home, repository, host.environment()) as client:
            client.open()
            assert agent_of(client, agent)["signed_in"]
            told = agent_of(client, agent)["credential"]
            assert told.startswith(f"login of {agent}, held by the gateway, expires at ")
            task = create(client, agent, engine)
            began = time.time()
            pause = client.wait_until(task, "PAUSED")["pause"]
            assert pause["reason"] == "usage_window"
            ends = datetime.fromisoformat(pause["retry_at"]).timestamp()
            assert began + WINDOW - 60 < ends < time.time() + WINDOW + 60
            session.clear()
            session.push(text("It is written."))
            client.tool("resume_task", task=task)
            done = client.wait_until(task, "COMPLETED")
        seen = session.main_requests
        assert {r.authorization for r in seen} == {f"Bearer {access}"}
        assert {r.api_key for r in seen} == {None}
        if agent == "codex":
            assert {r.headers["chatgpt-account-id"] for r in seen} == {ACCOUNT}
        else:
            assert all("oauth-2025-04-20" in r.headers["anthropic-beta"] for r in seen)
        told = git(repository, "show", f"{done['branch']}:seen.txt")
        assert "PATH=" in told
        assert not [s for s in (access, RENEWAL, ACCOUNT) if s in told]
        nowhere(host.home, access, RENEWAL)


@pytest.mark.parametrize("agent", ["codex", "claude"])
def test_an_expired_log_in_pauses_and_a_renewed_one_goes_on(
    host: Host, repository: Path, agent: str
) -> None:
    """D9, Q5: what is missing and what mends it; the file is read anew, and nobody resumes."""
    host.log_in(agent, time.time() - 1)
    with FakeModels() as provider:
        session = provider.session("a")
        host.configure(agent, session, auto_resume=True)
        session.push(write("hello.txt", "hi\n"), text("It is written."))
        with LauncherClient(host.home, repository, host.environment()) as client:
            client.open()
            known = agent_of(client, agent)
            assert not known["signed_in"]
            assert f"run `{agent}` once" in known["hint"]
            task = create(client, agent, "bubblewrap")
            pause = client.wait_until(task, "PAUSED")["pause"]
            assert pause["reason"] == "auth"
            assert f"the login of {agent} in" in pause["message"]
            assert f"run `{agent}` once" in pause["message"]
            assert session.requests == []
            access = host.log_in(agent, time.time() + HOUR)
            goes_on_to_its_end(client, task)
        assert {r.authorization for r in session.main_requests} == {f"Bearer {access}"}


def test_a_log_in_that_is_renewed_during_a_pause_lets_the_task_finish(
    host: Host, repository: Path
) -> None:
    """Q4, Q5: the real claude, paused for credits; at its time the login is no longer good."""
    host.log_in("claude", time.time() + HOUR)
    with FakeModels() as provider:
        session = provider.session("a")
        host.configure("claude", session, auto_resume=True)
        session.push(write("hello.txt", "hi\n"), credit(), text("It is written."))
        with LauncherClient(host.home, repository, host.environment()) as client:
            client.open()
            task = create(client, "claude", "bubblewrap")
            client.wait_until(task, "PAUSED")
            host.claude(time.time() - 1)
            its_time_comes(host.home, task)

            def pause() -> dict[str, Any]:
                return client.tool("inspect", task=task)["task"].get("pause") or {}

            wait_until(lambda: pause().get("reason") == "auth", "it is due")
            assert "run `claude` once" in pause()["message"]
            access = host.claude(time.time() + HOUR)
            goes_on_to_its_end(client, task)
        assert session.main_requests[-1].authorization == f"Bearer {access}"


def renewed_by(agent: str) -> dict[str, Any]:
    """What the provider answers to the program that renews its login."""
    access = token(time.time() + 2 * HOUR) if agent == "codex" else "sk-ant-oat01-renewed"
    return {
        "token_type": "Bearer", "access_token": access, "id_token": access, "expires_in": HOUR,
        "refresh_token": "the-next-one", "scope": "user:inference user:profile",
    }  # fmt: skip


def own_program(agent: str) -> Path:
    """The real one, as a user has it."""
    if agent == "claude":
        return claude_binary()
    folder = cache_folder() / "agents"
    return next(folder.glob("codex-[0-9]*/lib/node_modules/*/vendor/*/bin/codex"))


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_log_in_that_expires_in_the_wait_is_renewed_by_its_own_program(
    host: Host, repository: Path, agent: str
) -> None:
    """Q5, M2: the real program renews it on the host, without a model's call and without a person;
    the task continues at its time with the new one."""
    old = host.log_in(agent, time.time() + 20 * HOUR)
    (host.folder / "bin").mkdir()
    (host.folder / "bin" / agent).symlink_to(own_program(agent))
    answer = renewed_by(agent)
    with FakeModels() as provider, sign_in(host.folder, lambda: answer) as server:
        session = provider.session("a")
        host.configure(agent, session, auto_resume=True)
        session.push(write("hello.txt", "hi\n"), {**credit(), "times": 9})
        env = {**host.environment(), **server.environment()}
        env["PATH"] = f"{host.folder / 'bin'}:{os.environ['PATH']}"
        with LauncherClient(host.home, repository, env) as client:
            client.open()
            task = create(client, agent, "bubblewrap")
            client.wait_until(task, "PAUSED")
            assert server.asked == []
            asked = len(session.main_requests)
            session.clear()
            session.push(text("It is written."))
            host.log_in(agent, time.time() - 1)
            its_time_comes(host.home, task)
            goes_on_to_its_end(client, task)
        later = {r.authorization for r in session.main_requests[asked:]}
        assert later - {f"Bearer {old}"} == {f"Bearer {answer['access_token']}"}
        assert set(server.asked) <= {RENEWAL, "the-next-one"}
        assert server.asked[0] == RENEWAL
        nowhere(host.home, RENEWAL, "the-next-one", answer["access_token"])


def test_a_log_in_serves_its_own_program_alone(host: Host, repository: Path) -> None:
    """D9: another agent of the same provider says so before it is started."""
    host.codex(time.time() + HOUR)
    with FakeModels() as provider:
        session = provider.session("a")
        host.configure("codex", session)
        with LauncherClient(host.home, repository, host.environment()) as client:
            client.open()
            assert "serves codex alone" in agent_of(client, "qwen")["hint"]
            pause = client.wait_until(create(client, "qwen", "bubblewrap"), "PAUSED")["pause"]
            assert pause["reason"] == "auth"
            assert "set OPENAI_API_KEY for qwen" in pause["message"]
        assert session.requests == []


def test_a_log_in_that_nothing_names_is_found_but_not_used(host: Host, repository: Path) -> None:
    """It is the user's word that lends it."""
    host.codex(time.time() + HOUR)
    with LauncherClient(host.home, repository, host.environment()) as client:
        client.open()
        known = agent_of(client, "codex")
        assert not known["signed_in"]
        assert "credentials: {openai: {login: codex}}" in known["hint"]


def test_an_own_log_in_passes_through_unchanged_with_the_real_opencode(
    host: Host, repository: Path
) -> None:
    """M2: where config.yaml says so, the agent's own goes on; the sandbox's token never does."""
    with FakeModels() as provider:
        session = provider.session("a")
        given = {
            "baseURL": "{base_url}/openai/v1",
            "apiKey": "the-own-log-in",
            "headers": {"x-api-key": "{token}"},
        }
        opencode = {
            "model": "mine/gpt-5.1",
            "provider": {
                "mine": {
                    "npm": "@ai-sdk/openai",
                    "options": given,
                    "models": {"gpt-5.1": {}},
                }
            },
            "permission": "allow",
        }
        mine = {
            "acp": ["opencode", "acp"],
            "provider": "openai",
            "environment": {
                "OPENCODE_CONFIG_CONTENT": json.dumps(opencode),
            },
        }
        source = {"passthrough": True, "base_url": session.openai}
        settings = {"credentials": {"openai": source}, "agent_programs": {"mine": mine}}
        host.home.mkdir(parents=True)
        (host.home / "config.yaml").write_text(json.dumps(settings))
        session.push(write("hello.txt", "hi\n"), text("It is written."))
        with LauncherClient(host.home, repository, host.environment()) as client:
            client.open()
            known = agent_of(client, "mine")
            assert known["credential"] == "config.yaml: credentials.openai.passthrough"
            task = create(client, "mine", "bubblewrap")
            done = client.wait_until(task, "COMPLETED")
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "hi"
        seen = session.main_requests
        assert {r.authorization for r in seen} == {"Bearer the-own-log-in"}
        assert {r.api_key for r in session.requests} == {None}
