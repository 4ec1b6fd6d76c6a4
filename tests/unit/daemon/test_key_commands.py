"""A credential's command is run once per lifetime of its value."""

from __future__ import annotations

import threading
from pathlib import Path

from rover_mcp.config.settings import CredentialSource, Settings
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.key_commands import FAILED_SECONDS, REFUSED_SECONDS, KeyCommands
from tests.support.samples import task_row

LIFETIME = 300.0


class Command:
    """What a command prints, one after the other; counts how often it ran."""

    def __init__(self, *values: str | None) -> None:
        self.values = list(values)
        self.runs = 0
        self.now = 0.0
        self.commands = KeyCommands(lambda: self.now, self.run)

    def run(self, command: str) -> str | None:
        self.runs += 1
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    def value(self, *, of_call: bool = True) -> str | None:
        return self.commands.value("pass show key", LIFETIME, of_call=of_call)


def test_calls_within_the_lifetime_share_one_run() -> None:
    """At 700cc57 each call of an agent ran the command."""
    command = Command("k1", "k2")
    assert {command.value() for _ in range(100)} == {"k1"}
    command.now = LIFETIME
    assert (command.value(), command.runs) == ("k2", 2)


def test_calls_at_the_same_time_wait_for_one_run() -> None:
    begun, go = threading.Event(), threading.Event()
    runs: list[str] = []

    def run(command: str) -> str:
        runs.append(command)
        begun.set()
        assert go.wait(300)
        return "k"

    commands = KeyCommands(run=run)
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(commands.value("c", LIFETIME)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(300)
    commands.refused(lambda _: True)  # waits for nothing, not for the command either
    go.set()
    for thread in threads:
        thread.join(300)
    assert (found, runs) == (["k"] * 8, ["c"])


def test_a_value_that_the_provider_refuses_is_asked_for_anew_and_once() -> None:
    """An agent whose calls are refused for another reason does not run it again and again."""
    command = Command("old", "new")
    assert command.value() == "old"
    command.commands.refused("old".__eq__)
    assert (command.value(), command.runs) == ("new", 2)
    for _ in range(9):
        command.commands.refused("new".__eq__)
        assert command.value() == "new"
    assert command.runs == 3
    command.commands.refused("other".__eq__)
    assert (command.value(), command.runs) == ("new", 3)


def test_a_command_that_fails_is_not_run_again_for_each_call() -> None:
    """A person who has corrected it does not wait."""
    command = Command(None, None, "k")
    assert [command.value() for _ in range(9)] == [None] * 9
    assert command.runs == 1
    command.now = FAILED_SECONDS
    assert (command.value(), command.runs) == (None, 2)
    assert command.value(of_call=False) == "k"
    assert (command.value(), command.runs) == ("k", 3)


def test_a_refused_account_is_the_one_whose_value_it_was(tmp_path: Path) -> None:
    command = Command("k1", "k2")
    settings = Settings(home=tmp_path, credentials={"anthropic": CredentialSource(command="c")})
    credentials = Credentials(settings, commands=command.commands)
    access = credentials.access("anthropic", task_row(), None, of_call=True)
    assert access is not None
    for other in (None, "anthropic-other"):
        credentials.refused("anthropic", other)
    credentials.refused("openai", access.account)
    credentials.refused("nobody", access.account)
    assert command.runs == 1
    assert credentials.access("anthropic", task_row(), None) == access
    credentials.refused("anthropic", access.account)
    again = credentials.access("anthropic", task_row(), None)
    assert again is not None
    assert (again.header_value, command.runs) == ("k2", 2)


def test_a_value_that_stays_refused_is_asked_for_again_after_a_minute() -> None:
    """Q5: whatever its lifetime is, somebody may be correcting it."""
    command = Command("k", "k", "right")
    command.commands.value("c", 24 * 3600)
    command.commands.refused("k".__eq__)
    assert command.commands.value("c", 24 * 3600) == "k"
    command.now = REFUSED_SECONDS - 1
    assert (command.commands.value("c", 24 * 3600), command.runs) == ("k", 2)
    command.now = REFUSED_SECONDS
    assert (command.commands.value("c", 24 * 3600), command.runs) == ("right", 3)
