"""The gateway is killed in the middle of a streamed answer: the next try, or the pause, covers it;
nothing is lost, and the books have each answer once. The real Claude Code CLI, a kill -9 of the
real daemon, a fake provider on loopback that holds its stream until the test lets it go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, kill, runners, wait_until
from tests.e2e.test_real_claude import REAL_KEY, environment
from tests.support.fake_anthropic import FakeAnthropic, text, write
from tests.support.frames import Frame, LauncherClient
from tests.support.models.turns import (
    CACHE_WRITES,
    CACHED_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    held,
)
from tests.support.repos import git

pytestmark = pytest.mark.real_agent

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
FILE = write("hello.txt", "hi from claude\n")
Counts = tuple[int, int, int, int]
CUT: Counts = (INPUT_TOKENS, 1, CACHED_TOKENS, CACHE_WRITES)
"""What a held answer told before it was cut: the counts of its first event."""
WHOLE: Counts = (INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS, CACHE_WRITES)


def booked(home: Path, task: str) -> list[Counts]:
    """The books' lines: input, output, from the cache and into it."""
    connection = sqlite3.connect(f"file:{home}/rover.db?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT input_tokens, output_tokens, cache_read_tokens, cache_write_tokens"
            " FROM rover_calls WHERE task_id = ? ORDER BY at",
            (task,),
        ).fetchall()
    finally:
        connection.close()


def create(client: LauncherClient, engine: str, **more: object) -> str:
    return client.tool(
        "create_task", description="Write hello.txt", workflow="quick", agent="claude",
        engine=engine, **more,
    )["task"]["id"]  # fmt: skip


def until_cut(provider: FakeAnthropic, home: Path, task: str) -> None:
    """The first answer stands in the middle, and what it told so far is in the books."""
    provider.session().wait_for(lambda s: s.held == 1)
    wait_until(lambda: booked(home, task) == [CUT], "its beginning is booked")


def assert_nothing_lost(
    provider: FakeAnthropic, repository: Path, client: LauncherClient, done: Frame
) -> None:
    """The file is there; the books have what was cut and each whole answer, once. `inspect` says
    their sum, or the CLI's own account of the same answers, which guesses the output of the one
    that was cut."""
    assert git(repository, "show", f"{done['branch']}:hello.txt") == "hi from claude"
    answers = [r for r in provider.requests if r.path.partition("?")[0] == "/v1/messages"]
    whole = len(answers) - provider.session().held
    assert sorted(booked(client.home, done["id"])) == sorted([CUT, *[WHOLE] * whole])
    usage = client.tool("inspect", task=done["id"])["task"]["usage"]
    assert usage["input_tokens"] == INPUT_TOKENS * (whole + 1)
    assert OUTPUT_TOKENS * whole + 1 <= usage["output_tokens"] <= OUTPUT_TOKENS * (whole + 1)
    assert usage["cost_usd"] > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_the_next_try_goes_through_the_next_daemon(
    home: Path, repository: Path, engine: str
) -> None:
    """The launcher that is connected starts the next daemon; the sandbox runs on, one attempt."""
    with (
        FakeAnthropic([held(FILE), FILE, text("It is written.")]) as provider,
        LauncherClient(home, repository, environment(provider, home.parent / "bin")) as client,
    ):
        client.open()
        task = create(client, engine)
        until_cut(provider, home, task)
        before = daemon_pid(home)
        kill(before)
        wait_until(lambda: not is_alive(before), "the daemon is dead")
        provider.session().go_on()
        done = client.wait_until(task, "COMPLETED")
        assert daemon_pid(home) != before
        assert done["attempt"] == 1
        assert_nothing_lost(provider, repository, client, done)


def test_what_a_killed_daemons_call_was_reserved_is_estimated_once(
    home: Path, repository: Path
) -> None:
    """U10. Succeeded at 700cc57: what the model had written when the daemon was killed counted as
    the one token that the provider had told."""
    with (
        FakeAnthropic([held(FILE), FILE, text("It is written.")]) as provider,
        LauncherClient(home, repository, environment(provider, home.parent / "bin")) as client,
    ):
        client.open()
        task = create(client, "bubblewrap", budget_tokens=10**7)
        until_cut(provider, home, task)
        before = daemon_pid(home)
        kill(before)
        wait_until(lambda: not is_alive(before), "the daemon is dead")
        provider.session().go_on()
        client.wait_until(task, "COMPLETED")
    lines = booked(home, task)
    asked = [r for r in provider.requests if r.path.partition("?")[0] == "/v1/messages"]
    assert len(lines) == len(asked)
    [cut] = [line for line in lines if line != WHOLE]
    assert cut[0::2] == CUT[0::2]
    assert 1 < cut[1] < 128_000


def test_a_pause_covers_a_gateway_that_stays_away_and_ends_by_itself(
    home: Path, repository: Path
) -> None:
    """No client is left to start a daemon, the agent gives up, its runner pauses; the next
    client's daemon finds the pause and goes on, in a second attempt."""
    home.mkdir()
    key = home.parent / "key"
    key.write_text(REAL_KEY)
    with FakeAnthropic([held(FILE), FILE, text("It is written.")]) as provider:
        (home / "config.yaml").write_text(
            f"credentials: {{anthropic: {{file: {key}, base_url: '{provider.url}'}}}}\n"
            "limits: {transient_delays: []}\n"
            "retry: {transient_first: 1, jitter: 0}\n"
        )
        env = {"PATH": environment(provider, home.parent / "bin")["PATH"]}
        with LauncherClient(home, repository, env) as first:
            first.open()
            task = create(first, "bubblewrap")
            until_cut(provider, home, task)
            # The launcher first: it would start another daemon at once.
            kill(first.process.pid)
            first.process.wait()
            kill(daemon_pid(home))
        provider.session().go_on()
        wait_until(lambda: not runners(home, task), "the runner has paused and ended")
        with LauncherClient(home, repository, env) as second:
            second.open()
            wait_until(
                lambda: second.tool("inspect", task=task)["task"]["attempt"] == 2, "it goes on"
            )
            done = second.wait_until(task, "COMPLETED")
            assert done["attempt"] == 2
            events = second.tool("inspect", task=task, detail="full")["events"]
            kinds = [e["event"] for e in events]
            assert kinds.count("task.paused") == kinds.count("task.resumed") == 1
            assert_nothing_lost(provider, repository, second, done)
