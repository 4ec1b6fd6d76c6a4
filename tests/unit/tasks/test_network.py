"""What a task may reach, from create_task to the view of what it was refused."""

from __future__ import annotations

from typing import Any

import pytest

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.task_view import task_view
from tests.support.desk import ServerHarness, with_settings
from tests.support.requests import create_request
from tests.support.samples import NOW, task_row

ESCAPES = "\x1b]0;owned\x07evil\u202e.example:443"
REFUSED: dict[str, Any] = {
    "hosts": [
        {"host": f"{n}.example:443", "reason": "not on the list", "remedy": None, "count": n}
        for n in range(1, 5)
    ],
    "more": 7,
}


def view(refused: dict[str, Any] | None, *, full: bool) -> Any:
    policy = Policy(off=frozenset(), config_off=False, max_auto_retries=5)
    row = task_row(refused=refused, network={"mode": "providers", "allow": []})
    return task_view(row, None, None, NOW.timestamp(), policy, full=full)


def stored(desk: ServerHarness, **changes: Any) -> NetworkPolicy:
    request = create_request("Fix it", agent="scripted", script="steps: {}", **changes)
    made = desk.tasks.create(desk.caller, request)
    row = desk.tasks.store.tasks.get(made.id)
    assert row
    assert made.network == NetworkPolicy.stored(row.network).mode
    return NetworkPolicy.stored(row.network)


def test_the_mode_is_the_calls_else_the_settings_else_the_allow_list(desk: ServerHarness) -> None:
    assert stored(desk).mode is NetworkMode.ALLOWLIST
    for mode in ("none", "providers"):
        assert stored(desk, network=mode).mode == mode
    with_settings(desk, network=NetworkPolicy(mode=NetworkMode.OPEN))
    assert stored(desk, network="open").mode is NetworkMode.OPEN
    network = NetworkPolicy(mode=NetworkMode.PROVIDERS, allow=("example.org",))
    create = desk.tasks.create_task
    create.settings = create.settings.model_copy(update={"network": network})
    assert stored(desk) == NetworkPolicy(mode=NetworkMode.PROVIDERS)


def test_the_git_hosts_of_the_repository_are_part_of_the_allow_list(desk: ServerHarness) -> None:
    desk.repositories.hosts = ("git.example.org",)
    assert stored(desk).allow == ("git.example.org",)
    assert stored(desk, network="providers").allow == ()


def test_an_agent_that_needs_a_model_is_refused_without_a_network(desk: ServerHarness) -> None:
    request = create_request("Fix it", agent="claude", network="none")
    with pytest.raises(UserFixable, match="claude needs anthropic") as caught:
        desk.tasks.create(desk.caller, request)
    assert caught.value.code == "network_none"
    assert "network: providers" in str(caught.value.hint)
    assert desk.tasks.store.tasks.page() == []


def test_the_concise_view_warns_in_one_line_and_the_full_one_tells_all() -> None:
    concise = view(REFUSED, full=False)
    assert concise.refused is None
    (warning,) = concise.warnings
    assert "1.example:443, 2.example:443, 3.example:443, ..." in warning
    assert "detail=full" in warning
    full = view(REFUSED, full=True)
    assert [host.count for host in full.refused] == [1, 2, 3, 4]
    assert "7 more requests" in full.warnings[0]
    assert full.network == "providers"
    nothing = view(None, full=True)
    assert (nothing.refused, nothing.warnings) == (None, None)


def test_names_that_an_agent_chose_cannot_move_the_terminal() -> None:
    entry = {"host": ESCAPES, "reason": ESCAPES, "remedy": ESCAPES, "count": 1}
    refused = {"hosts": [entry], "more": 0}
    full = view(refused, full=True)
    told = [full.refused[0].host, full.refused[0].reason, full.refused[0].remedy]
    for text in (*told, view(refused, full=False).warnings[0]):
        assert "\x1b" not in text
        assert "\x07" not in text


def test_another_agent_cannot_take_over_where_it_could_reach_nothing(desk: ServerHarness) -> None:
    request = create_request("Fix it", agent="scripted", script="steps: {}", network="none")
    made = desk.tasks.create(desk.caller, request)
    paused = desk.tasks.pause(desk.tasks.finder.find(desk.caller, made.id))
    row = desk.tasks.finder.find(desk.caller, paused.id)
    with pytest.raises(UserFixable, match="claude needs anthropic"):
        desk.tasks.resume(desk.caller, row, "now", agent="claude")
