"""`--format`: what scripts read without JSON (C.10)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from rover_mcp.cli.command_line import main
from rover_mcp.cli.fields import KINDS, LISTED, TASK, BadTemplate, template
from rover_mcp.tasks.view_models import ListedTask, TaskView
from tests.unit.cli.conftest import task_json

Json = dict[str, Any]
STATUS: Json = {
    "version": "1", "home": "/d", "queue": {"running": 2, "queued": 0, "limit": 4},
    "disk": {"free_bytes": 5}, "engines": [{"name": "bubblewrap", "available": True}],
    "agents": [
        {"name": "claude", "installed": True, "signed_in": True},
        {"name": "codex", "installed": True, "signed_in": False},
    ],
}  # fmt: skip


def test_a_list_is_a_line_of_fields_for_each_task(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """C.10. What is not known is empty; news and further pages go to stderr."""
    event = {"task": "b" * 32, "number": 9, "summary": "task 9 is COMPLETED"}
    tasks = [task_json(cost_usd=0.125), task_json(number=12, pause=None, title="a\x1b[2Jb\nc")]
    fake(lambda *_: {"tasks": tasks, "attention": [event], "next_cursor": "xyz"})
    words = "{number:>3}|{status}|{cost_usd:.2f}|{pause.reason}|{pause.auto_resume}|{title}\\t."
    assert main(["list", "--format", words]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "  7|PAUSED|0.12|credits|true|Make it so\t.",
        " 12|PAUSED||||ab c\t.",
    ]
    assert "--cursor xyz" in said.err
    assert "task 9 is COMPLETED" in said.err


def test_no_task_is_no_line(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake(lambda *_: {"tasks": [], "attention": []})
    assert main(["ls", "--format", "{id}"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verb", ["inspect", "show"])
def test_one_task_and_the_status_have_fields_of_their_own(
    fake: Any, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """C.10."""
    fake(lambda tool, _: {"task": task_json()} if tool == "inspect" else STATUS)
    fields = "{workflow} {usage.input_tokens:,} {cost_usd} {{{changes.files}}}"
    assert main([verb, "7", "--format", fields]) == 0
    assert main(["status", "--format", "{queue.running}/{queue.limit} {engines} {agents}"]) == 0
    assert capsys.readouterr().out == "demo 1,234 0.5 {}\n2/4 bubblewrap claude\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("{nmber}", "unknown field 'nmber'; the fields are number, id, title"),
        ("{}", "unknown field ''"),
        ("{title.__class__}", "unknown field"),
        ("{title!r}", "takes a format like :>8"),
        ("{title:{number}}", "takes a format like :>8"),
        ("{title", "write {{ and }} for braces"),
        ("title}", "write {{ and }} for braces"),
    ],
)
def test_a_wrong_template_is_wrong_usage_before_anything_is_asked(
    fake: Any, capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    client = fake(lambda *_: {})
    with pytest.raises(SystemExit) as ended:
        main(["list", "--format", words])
    assert ended.value.code == 64
    assert says in " ".join(capsys.readouterr().err.split())
    assert client.calls == []


@pytest.mark.parametrize("more", [["--format", "{title:.2f}"], ["--format", "{id}", "--json"]])
def test_what_a_format_cannot_show_is_an_error(fake: Any, more: list[str]) -> None:
    fake(lambda *_: {"tasks": [task_json()], "attention": []})
    assert main(["list", *more]) == 1


def leaves(model: type[BaseModel]) -> set[str]:
    return {name for name in model.model_fields if name != "next_actions"}


@pytest.mark.parametrize(("fields", "model"), [(LISTED, ListedTask), (TASK, TaskView)])
def test_fields_are_those_of_the_results(fields: Any, model: type[BaseModel]) -> None:
    """Nothing of a task in a list is missing; nothing is offered that there is not."""
    schema = model.model_json_schema()
    names = {path.partition(".")[0] for path in fields if "." in path or path != "cost_usd"}
    assert names <= {*schema["properties"]}
    for path in (path for path in fields if "." in path):
        outer, _, inner = path.partition(".")
        kinds = [kind["$ref"] for kind in schema["properties"][outer]["anyOf"] if "$ref" in kind]
        assert inner in schema["$defs"][kinds[0].rpartition("/")[2]]["properties"], path
    assert leaves(ListedTask) - {path.partition(".")[0] for path in LISTED} == set()


def test_every_field_of_every_kind_can_be_read() -> None:
    for kind, fields in KINDS.items():
        thing = STATUS if kind == "status" else task_json()
        template("".join(f"{{{name}}}" for name in fields), fields).fill(thing)


def test_a_format_that_does_not_fit_names_its_field() -> None:
    with pytest.raises(BadTemplate, match=r"\{title:d\}"):
        template("{title:d}", LISTED).fill(task_json())
