"""What a model writes for an argument, and what is understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.ids import agent_named
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.folder_argument import as_path
from tests.support.desk import ServerHarness
from tests.unit.server.test_results import ask, task_in, text, valid
from tests.unit.server.test_tools import GOOD

Json = dict[str, Any]
ABSENT = (None, "", "null")


def read(name: str, **arguments: Any) -> Json:
    """The arguments as the tool gets them, those alone that were given."""
    return TOOLS[name].arguments.model_validate(arguments).model_dump(exclude_unset=True)


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_null_is_absent_for_every_optional_argument_of_every_tool(name: str) -> None:
    model = TOOLS[name].arguments
    optional = [n for n, field in model.model_fields.items() if not field.is_required()]
    required = {k: v for k, v in GOOD[name][0].items() if k not in optional}
    for absent in ABSENT:
        given = required | dict.fromkeys(optional, absent)
        assert model.model_validate(given) == model.model_validate(required)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"status": "running"}, ["IN_PROGRESS", "ITERATING"]),
        ({"status": "paused, FAILED"}, ["PAUSED", "FAILED"]),
        ({"status": '["Paused"]'}, ["PAUSED"]),
        ({"status": ["in progress", "Merged"]}, ["IN_PROGRESS", "MERGED"]),
        ({"status": ["paused", "all"]}, []),
        ({"statuses": ["done", None]}, ["COMPLETED", "MERGED", "PUSHED"]),
    ],
)
def test_statuses_are_understood_in_any_case_and_other_words(given: Json, meant: list[str]) -> None:
    assert read("list_tasks", **given)["status"] == [TaskStatus(one) for one in meant]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('{"command": "make test", "rounds": 3}', {"command": "make test", "rounds": "3"}),
        ({"strict": True, "rounds": 2.5, "left_out": None}, {"strict": "true", "rounds": "2.5"}),
        ({"files": ["a.py"]}, {"files": '["a.py"]'}),
        ("{}", {}),
    ],
)
def test_inputs_may_be_json_in_a_text_and_other_than_texts(given: object, meant: Json) -> None:
    assert read("create_task", description="x", inputs=given)["inputs"] == meant


@pytest.mark.parametrize(
    ("tool", "given", "meant"),
    [
        ("wait_for_task", {"task": 3.0, "timeout_s": 99999}, {"task": ["3"], "timeout_s": 3600}),
        ("wait_for_task", {"task": "1, 2"}, {"task": ["1", "2"]}),
        ("wait_for_task", {"tasks": [1, "#2"]}, {"task": ["1", "#2"]}),
        ("wait_for_task", {"timeoutSeconds": "2 min", "taskId": "1"}, {"timeout_s": 120, "task": ["1"]}),
        ("wait_for_task", {"timeout": -5}, {"timeout_s": 0}),
        ("inspect", {"task_id": ["7"], "detail": "Verbose"}, {"task": "7", "detail": "full"}),
        ("get_logs", {"task": " 1 ", "lines": 5000}, {"task": "1", "tail": 2000}),
        ("list_tasks", {"limit": "500", "repo": "/r"}, {"limit": 100, "repo_path": "/r"}),
        ("get_diff", {"task": "1", "paths": '["a.py", "b.py"]'}, {"task": "1", "paths": ["a.py", "b.py"]}),
        ("get_diff", {"task": "1", "stat_only": "True"}, {"task": "1", "stat_only": True}),
        ("create_task", {"prompt": "x", "engine": "bwrap", "agent": ["claude", "codex"]},
         {"description": "x", "engine": "bubblewrap", "agent": "claude, codex"}),
        ("create_task", {"description": "x", "network": "None", "baseBranch": 7},
         {"description": "x", "network": "none", "base_branch": "7"}),
        ("resume_task", {"task": "1", "when": "AT RESET"}, {"task": "1", "when": "at_reset"}),
        ("set_auto_resume", {"enabled": "off", "scope": "ALL"}, {"enabled": False, "scope": "all"}),
    ],
)  # fmt: skip
def test_likely_slips_are_understood(tool: str, given: Json, meant: Json) -> None:
    assert read(tool, **given) == meant


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("create_task", {"description": "x", "network": "off"}),
        ("create_task", {"description": "x", "budget_usd": 0}),
        ("create_task", {"description": "x", "engine": "host"}),
        ("create_task", {"description": None}),
        ("cancel_task", {"task": ["1", "2"]}),
        ("cancel_task", {"task": "1", "task_id": "2"}),
        ("cancel_task", {"taskId": "1", "task_id": "2"}),
        ("delete_task", {"task": "1", "confirm": "perhaps"}),
    ],
)
def test_what_could_mean_two_things_or_loosens_a_limit_is_refused(tool: str, given: Json) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read(tool, **given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("file:///home/me/my%20project", "/home/me/my project"),
        ("file://localhost/srv/x", "/srv/x"),
        (' "/srv/x" ', "/srv/x"),
        ("~/x", "~/x"),
        ("x@y", "x@y"),
    ],
)
def test_a_folder_may_be_a_file_address(given: str, meant: str) -> None:
    assert as_path(given) == meant


@pytest.mark.parametrize(
    "address",
    ["https://me:token@example.org/a/b.git", "ssh://git@example.org/a", "git@example.org:a/b.git"],
)
def test_a_web_address_is_answered_with_what_to_do(address: str) -> None:
    with pytest.raises(UserFixable) as raised:
        as_path(address)
    assert raised.value.code == "not_a_path"
    assert "git clone" in str(raised.value.hint)
    assert "token" not in f"{raised.value.message} {raised.value.hint}"


def test_an_address_of_another_machine_is_no_path() -> None:
    with pytest.raises(UserFixable, match="not name a folder on this machine"):
        as_path("file://elsewhere/srv/x")


@pytest.mark.parametrize("name", ["Claude", "claude-code", "claude_code", " CLAUDE cli "])
def test_an_agent_is_known_by_its_other_names(name: str) -> None:
    assert agent_named(name, ["claude", "codex"]) == "claude"
    assert agent_named("cla", ["claude", "codex"]) == "cla"


@pytest.mark.parametrize("name", ["Strict", "strict.yaml", ".rover/workflows/STRICT.yml", "STRICT"])
def test_a_workflow_is_known_in_any_case_and_by_its_file(desk: ServerHarness, name: str) -> None:
    inputs = {"command": True}
    [made] = ask(desk, ("create_task", {"description": "x", "workflow": name, "inputs": inputs}))
    error = made.structured_content and made.structured_content.get("error")
    assert "strict" in (str(error) if error else valid("create_task", made)["task"]["workflow"])
    [other] = ask(desk, ("create_task", {"description": "x", "workflow": f"/tmp/{name}.yaml"}))
    assert valid("create_task", other)["error"]["code"] == "unknown_workflow"


def test_slips_are_understood_in_both_eras(desk: ServerHarness) -> None:

    async def talk(mode: str) -> Any:
        server = desk.app().server_for(desk.session())
        async with Client(server, mode=mode) as client:
            return await client.call_tool("list_tasks", {"status": "running", "cursor": None})

    for mode in ("legacy", "auto"):
        assert not anyio.run(talk, mode).is_error


def test_a_wait_that_times_out_costs_under_80_tokens(desk: ServerHarness) -> None:
    """JSON and text together, at four characters a token."""
    task_in(desk, "running")
    first, result = ask(desk, *[("wait_for_task", {"task": "1", "timeout_s": 0})] * 2)
    told = valid("wait_for_task", result)
    assert not first.is_error
    assert told["returned"] == "timeout"
    assert told["task"]["status"] == "IN_PROGRESS"
    shown = json.dumps(result.structured_content, separators=(",", ":")) + text(result)
    assert len(shown) / 4 < 80


def test_a_wait_for_several_returns_at_the_first_that_stops(desk: ServerHarness) -> None:
    task_in(desk, "running")
    second = ask(desk, ("create_task", {"description": "Another"}))[0]
    desk.store.transitions.apply(valid("create_task", second)["task"]["id"], Event.CANCEL)
    [result] = ask(desk, ("wait_for_task", {"task": "1, 2", "timeout_s": 3600}))
    told = valid("wait_for_task", result)
    assert (told["returned"], told["task"]["number"]) == ("ended", 2)
    assert told["waiting"] == [{"number": 1, "status": "IN_PROGRESS"}]
    assert "also waited for: 1" in text(result)


def test_a_wait_without_a_task_is_for_any_that_runs_here(desk: ServerHarness) -> None:
    [none] = ask(desk, ("wait_for_task", {}))
    assert valid("wait_for_task", none)["error"]["code"] == "unknown_task"
    task_id = task_in(desk, "running")
    ask(desk, ("create_task", {"description": "Another"}))
    [result] = ask(desk, ("wait_for_task", {"task": None, "timeout_s": 0}))
    told = valid("wait_for_task", result)
    assert {told["task"]["number"], *(w["number"] for w in told["waiting"])} == {1, 2}
    for found in desk.store.tasks.page():
        desk.store.transitions.apply(
            found.id, Event.COMPLETE if found.id == task_id else Event.CANCEL
        )
    [ended] = ask(desk, ("wait_for_task", {"timeout_s": 3600}))
    assert valid("wait_for_task", ended)["returned"] == "ended"


def test_a_tool_that_does_not_exist_is_answered_with_the_one_that_is_meant(
    desk: ServerHarness,
) -> None:
    task_in(desk, "running")

    async def talk(name: str, arguments: Json) -> Any:
        async with Client(desk.app().server_for(desk.session())) as client:
            try:
                return await client.call_tool(name, arguments)
            except Exception as error:  # noqa: BLE001  # the SDK's own, of whichever kind
                return error

    error = anyio.run(talk, "get_task_status", {"task_id": "1"})
    assert 'Next: {"tool": "inspect", "arguments": {"task_id": "1"}}' in str(error)
    assert not anyio.run(talk, "inspect", {"task_id": "1"}).is_error
    assert "the tools are: cancel_task" in str(anyio.run(talk, "make_coffee", {}))


def test_a_relative_path_and_a_home_folder_are_still_taken(
    desk: ServerHarness, tmp_path: Path
) -> None:
    assert desk.caller.folder("sub") == desk.caller.cwd / "sub"
    assert desk.caller.folder(f"file://{tmp_path}") == tmp_path
