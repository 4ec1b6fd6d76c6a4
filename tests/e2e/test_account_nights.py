"""Nights of the real Claude Code and Codex on a fake provider whose windows last seconds: accounts
that take turns, limits of one model, many windows in one step, and refusals that tell no time."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import end_daemon
from tests.support.docker_env import cache_folder
from tests.support.fake_models import FakeModels, Session
from tests.support.frames import LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.models.turns import Behaviour, error, text, usage_window, write
from tests.support.real_claude import claude_binary
from tests.support.repos import git, make_repository
from tests.support.timers import its_account_opens

pytestmark = [pytest.mark.real_agent, pytest.mark.timeout(3600)]

AGENTS = ["claude", "codex"]
PROVIDERS = {"claude": "anthropic", "codex": "openai"}
RETRY = {"credits_first": 2, "credits_most": 4, "transient_first": 2, "jitter": 0}
CLAIM = "anthropic-ratelimit-unified-representative-claim"


@dataclass
class AccountScenario:
    """One daemon for all cases. A client of its own environment is an account of its own."""

    folder: Path
    provider: FakeModels
    home: Path

    def configure(self, **settings: Any) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        limits = {"transient_delays": []}
        settings = {"retry": RETRY, "limits": limits, "spare_sandboxes": 0, **settings}
        (self.home / "config.yaml").write_text(json.dumps(settings))

    def client(self, name: str, session: Session | None = None) -> LauncherClient:
        """An assistant in a repository of its own; with a key only where a session is given."""
        keys = session.environment(f"sk-{name}") if session else {"OPENAI_API_KEY": ""}
        env = {
            **keys,
            "ROVER_AGENT_CACHE": str(cache_folder() / "agents"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        client = LauncherClient(self.home, make_repository(self.folder / f"repo-{name}"), env)
        client.open()
        return client


def night(folder: Path, provider: FakeModels) -> AccountScenario:
    (folder / "bin").mkdir()
    (folder / "bin" / "claude").symlink_to(claude_binary())
    return AccountScenario(folder, provider, folder / "data")


@pytest.fixture(scope="module")
def keys(
    tmp_path_factory: pytest.TempPathFactory, provider: FakeModels
) -> Iterator[AccountScenario]:
    """No account is configured: clients bring their keys. Of a provider at another address only
    models that the user names are proposed."""
    made = night(tmp_path_factory.mktemp("keys"), provider)
    price = {"input": 1, "output": 2}
    made.configure(
        prices={"anthropic": {"claude-haiku-x": price}, "openai": {"gpt-5.1-mini": price}}
    )
    yield made
    end_daemon(made.home)


@pytest.fixture(scope="module")
def named(
    tmp_path_factory: pytest.TempPathFactory, provider: FakeModels
) -> Iterator[AccountScenario]:
    """Two accounts of each provider are configured, in files."""
    made = night(tmp_path_factory.mktemp("named"), provider)
    sources: dict[str, dict[str, str]] = {}
    for agent in AGENTS:
        for name in ("work", "home"):
            key = made.folder / f"{agent}-{name}.key"
            key.write_text(f"sk-{agent}-{name}")
            url = _address(provider.session(f"{agent}-{name}"), agent)
            source = {"file": str(key), "base_url": url}
            sources[f"{PROVIDERS[agent]}:{name}"] = source
    made.configure(credentials=sources)
    yield made
    end_daemon(made.home)


def _address(session: Session, agent: str) -> str:
    return session.anthropic if agent == "claude" else session.openai


def create(client: LauncherClient, agent: str, model: str | None = None) -> str:
    named = {"model": model} if model else {}
    made = client.tool(
        "create_task", description="Write hello.txt", workflow="quick", agent=agent,
        engine="bubblewrap", **named,
    )  # fmt: skip
    return made["task"]["id"]


def status(client: LauncherClient, task: str) -> str:
    return client.tool("inspect", task=task)["task"]["status"]


def is_completed(client: LauncherClient, task: str) -> bool:
    return status(client, task) == "COMPLETED"


def reasons(client: LauncherClient, task: str) -> list[str]:
    """Why it paused, each time."""
    events = client.tool("inspect", task=task, detail="full")["events"]
    return [event["reason"] for event in events if event["event"] == "task.paused"]


def held(client: LauncherClient) -> set[str]:
    return {hold["account"] for hold in client.tool("get_status")["holds"]}


def keys_of(session: Session) -> set[str | None]:
    return {request.key for request in session.main_requests}


@pytest.mark.parametrize("agent", AGENTS)
def test_two_accounts_take_turns(named: AccountScenario, provider: FakeModels, agent: str) -> None:
    """Q6, M2: each is asked with its own key while it is open, and is called by its name."""
    work, home = (provider.session(f"{agent}-{name}") for name in ("work", "home"))
    work.push(write("hello.txt", "one\n"), usage_window(3600))
    home.push(write("more.txt", "two\n"), usage_window(7200))
    work.push(text("It is written."))
    label = f"{PROVIDERS[agent]}:"
    with named.client(f"turns-{agent}") as client:
        task = create(client, agent)
        home.wait_for(lambda s: any(r.answered == "usage_window" for r in s.main_requests))
        client.until(lambda: f"{label}home" in held(client), "both are held by their names")
        its_account_opens(named.home, f"{label}work")
        client.until(lambda: is_completed(client, task), "it has completed")
        done = client.tool("inspect", task=task)["task"]
        branch = done["branch"]
        assert (
            git(client_repository(named, f"turns-{agent}"), "show", f"{branch}:more.txt") == "two"
        )
    assert [r.answered for r in work.main_requests] == ["write", "usage_window", "text"]
    assert [r.answered for r in home.main_requests] == ["write", "usage_window"]
    assert keys_of(work) == {f"sk-{agent}-work"}
    assert keys_of(home) == {f"sk-{agent}-home"}


def client_repository(of: AccountScenario, name: str) -> Path:
    return of.folder / f"repo-{name}"


def one_models_window(agent: str, model: str) -> Behaviour:
    if agent == "claude":
        return usage_window(3600, headers={CLAIM: f"seven_day_{model}"}, times=9)
    message = f"Rate limit reached for {model} in organization org-fake on requests per day."
    return error(429, "requests", message, headers={"retry-after": "3600"}, times=9)


@pytest.mark.parametrize(
    ("agent", "closed", "other"),
    [("claude", "opus", "sonnet"), ("codex", "gpt-5.1-codex-max", "gpt-5.1-mini")],
)
def test_one_models_window_stops_no_task_on_another_model(
    keys: AccountScenario, provider: FakeModels, agent: str, closed: str, other: str
) -> None:
    """Q6, Q7: those on that model wait without a request, and one of them goes on at once with
    another model that a person names."""
    session = provider.session(f"model-{agent}")
    session.push(write("hello.txt", "hi\n"), one_models_window(agent, closed))
    with keys.client(f"model-{agent}", session) as client:
        first = create(client, agent, closed)
        pause = client.wait_until(first, "PAUSED")["pause"]
        assert pause["model"] == closed
        assert pause["auto_resume"]
        asked = len(session.main_requests)
        session.clear()
        waiting = create(client, agent, closed)
        shut = client.wait_until(waiting, "PAUSED")["pause"]
        assert shut["model"] == closed
        assert shut["account"] == pause["account"]
        client.wait_until(create(client, agent, other), "COMPLETED")
        later = session.main_requests[asked:]
        assert later
        assert all(other in str(request.model) for request in later)
        holds = [h for h in client.tool("get_status")["holds"] if h["account"] == pause["account"]]
        assert [(h["model"], h["waiting"]) for h in holds] == [(closed, 2)]
        actions = client.tool("inspect", task=first)["task"]["next_actions"]
        proposed = [a["arguments"]["model"] for a in actions if "model" in a["arguments"]]
        assert proposed
        assert closed not in proposed
        asked = len(session.main_requests)
        client.tool("resume_task", task=first, model=other)
        done = client.wait_until(first, "COMPLETED")
        assert done["model"] == other
        assert all(other in str(request.model) for request in session.main_requests[asked:])


WINDOWS = 12


def test_one_step_outlasts_twelve_windows(keys: AccountScenario, provider: FakeModels) -> None:
    """Q1, Q3: a task stopped after the fifth. Both agents at the same time."""
    sessions = {agent: provider.session(f"long-{agent}") for agent in AGENTS}
    for session in sessions.values():
        for part in range(WINDOWS):
            session.push(write(f"part-{part}.txt", f"{part}\n"), usage_window(2))
        session.push(text("It is written."))
    clients = {agent: keys.client(f"long-{agent}", sessions[agent]) for agent in AGENTS}
    try:
        tasks = {agent: create(client, agent) for agent, client in clients.items()}
        for agent, client in clients.items():
            completed = partial(is_completed, client, tasks[agent])
            client.until(completed, f"{agent} has completed", 2 * HANG_SECONDS)
            branch = client.tool("inspect", task=tasks[agent])["task"]["branch"]
            names = git(client_repository(keys, f"long-{agent}"), "ls-tree", "--name-only", branch)
            assert {f"part-{part}.txt" for part in range(WINDOWS)} <= set(names.split())
            answered = [r.answered for r in sessions[agent].main_requests]
            assert answered.count("usage_window") == WINDOWS
    finally:
        for client in clients.values():
            client.close()


REFUSALS: dict[str, tuple[Behaviour, str]] = {
    "403": (
        error(403, "permission_error", "You've reached your weekly usage limit for this plan."),
        "usage_window",
    ),
    "400": (
        error(400, "invalid_request_error", "You're out of extra usage. Add more to continue."),
        "credits",
    ),
    "429": (
        error(429, "rate_limit_error", "Weekly limit exhausted for this plan."),
        "usage_window",
    ),
}


@pytest.mark.parametrize("agent", AGENTS)
def test_refusals_that_tell_no_time_are_asked_again_until_they_end(
    keys: AccountScenario, provider: FakeModels, agent: str
) -> None:
    """Q1, Q3: a weekly window as 403 or 429 and money as 400, whatever the status is."""
    sessions = {what: provider.session(f"{agent}-{what}") for what in REFUSALS}
    clients = {what: keys.client(f"{agent}-{what}", s) for what, s in sessions.items()}
    try:
        tasks: dict[str, str] = {}
        for what, session in sessions.items():
            # Claude Code repeats some requests by itself.
            session.push(write("hello.txt", "hi\n"), {**REFUSALS[what][0], "times": 9})
            tasks[what] = create(clients[what], agent)
        for what, (_, reason) in REFUSALS.items():
            paused = partial(reasons, clients[what], tasks[what])
            clients[what].until(paused, f"{what} has paused")
            assert set(paused()) == {reason}, what
            sessions[what].clear()
            completed = partial(is_completed, clients[what], tasks[what])
            clients[what].until(completed, f"{what} has completed")
    finally:
        for client in clients.values():
            client.close()


def in_headers(agent: str, used: float, resets_in: float) -> dict[str, str]:
    """A window of 5 hours that is nearly used up, and a week of which 83 % is."""
    ends = {"5h": time.time() + resets_in, "7d": time.time() + 4 * 86_400}
    if agent == "codex":
        return {
            "x-codex-primary-used-percent": f"{used * 100:.1f}",
            "x-codex-primary-window-minutes": "300",
            "x-codex-primary-reset-at": f"{ends['5h']:.0f}",
            "x-codex-secondary-used-percent": "83",
            "x-codex-secondary-window-minutes": "10080",
            "x-codex-secondary-reset-at": f"{ends['7d']:.0f}",
        }
    told = {"status": "allowed_warning", "representative-claim": "five_hour",
            "5h-status": "allowed_warning", "5h-utilization": f"{used}",
            "7d-status": "allowed", "7d-utilization": "0.83"}  # fmt: skip
    told |= {f"{window}-reset": f"{end:.0f}" for window, end in ends.items()}
    return {f"anthropic-ratelimit-unified-{name}": value for name, value in told.items()}


@pytest.mark.parametrize("agent", AGENTS)
def test_windows_are_told_before_they_close_and_while_they_are_closed(
    keys: AccountScenario, provider: FakeModels, agent: str
) -> None:
    """Q3, D10: a warning once, the windows in the pause's words and in the status."""
    hours = 2 * 3600.0
    session = provider.session(f"windows-{agent}")
    session.push(
        write("hello.txt", "hi\n", headers=in_headers(agent, 0.92, hours)),
        write("more.txt", "hi\n", headers=in_headers(agent, 0.93, hours)),
        usage_window(hours, times=9),
    )
    with keys.client(f"windows-{agent}", session) as client:
        task = create(client, agent)
        pause = client.wait_until(task, "PAUSED")["pause"]
        five, seven = pause["windows"].split("; ")
        assert re.fullmatch(r"the 5-hour window is 100 % used, opens [\d -]*\d\d:\d\dZ", five)
        assert seven == "the 7-day window was at 83 %"
        events = client.tool("inspect", task=task, detail="full")["events"]
        [warned] = [e for e in events if e["event"] == "task.window_warning"]
        assert f"the 5-hour window of {pause['account']} is nearly used up" in warned["summary"]
        [paused] = [e for e in events if e["event"] == "task.paused"]
        assert f"T{five[1:]}" in paused["summary"]
        shown = client.tool("get_status")["windows"]
        mine = {w["window"]: w for w in shown if w["account"] == pause["account"]}
        assert mine["5-hour window"]["state"] == "used up"
        assert mine["5-hour window"]["used_percent"] == 100
        assert mine["7-day window"]["used_percent"] == 83


CODEX_MODEL = "gpt-5.1-codex-max"
CODEX_WORDS = f"You've hit your usage limit for {CODEX_MODEL}. Switch to another model now, or"


@pytest.mark.parametrize("kind", ["usage_limit_reached", "rate_limit_exceeded"])
def test_codexs_words_for_one_model_hold_it_alone(
    keys: AccountScenario, provider: FakeModels, kind: str
) -> None:
    """Q6: as the answer to a call, whatever its type, and not only in what Codex prints."""
    session = provider.session(f"words-{kind}")
    headers = {"retry-after": "3600"}
    message = f"{CODEX_WORDS} try again later."
    session.push(error(429, kind, message, headers=headers, times=9))
    with keys.client(f"words-{kind}", session) as client:
        task = create(client, "codex", CODEX_MODEL)
        pause = client.wait_until(task, "PAUSED")["pause"]
        assert (pause["reason"], pause["model"]) == ("usage_window", CODEX_MODEL)
        holds = [h for h in client.tool("get_status")["holds"] if h["account"] == pause["account"]]
        assert [(h["model"], h["waiting"]) for h in holds] == [(CODEX_MODEL, 1)]
        session.clear()
        client.tool("resume_task", task=task, model="gpt-5.1-mini")
        client.wait_until(task, "COMPLETED")
