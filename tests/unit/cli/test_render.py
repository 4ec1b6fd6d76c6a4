"""What a command prints of a result."""

from __future__ import annotations

import io

from rover_mcp.cli import render
from rover_mcp.cli.step_outputs import output_lines
from rover_mcp.cli.terminal_text import Paint

ID = "d" * 32


def test_what_is_not_deleted_yet_is_told_with_the_command_that_deletes_it() -> None:
    item = {"what": "work", "kept": False, "detail": "1 snapshot"}
    result = {"task": ID, "deleted": False, "items": [item]}
    assert render.deleted(result, Paint(io.StringIO()))[-1].endswith(f"rover delete {ID} --yes")
    assert render.deleted({**result, "deleted": True}, Paint(io.StringIO()))[-1] == "Deleted."


def test_what_work_is_delivered_in_spite_of_is_told_in_a_line_of_its_own() -> None:
    """A terminal obeys nothing in it."""
    told = render.error_lines({"verdict": "tests still fail: \x1b[2Ja"}, Paint(io.StringIO()))
    assert len(told) == 1
    assert told[0].startswith("But: tests still fail: ")
    assert "\x1b" not in told[0]
    assert render.error_lines({}, Paint(io.StringIO())) == []


def test_what_agents_gave_is_shown_under_their_steps() -> None:
    """D.14: the report of `investigate`; a terminal obeys nothing in it."""
    steps = [
        {
            "name": "Look",
            "type": "agent",
            "outputs": {"report": "# So\n\n\x1b[2Jit is", "sure": "yes"},
        },
        {"name": "Test", "type": "command", "outputs": {"stdout": "1 passed"}},
    ]
    told = output_lines({"steps": steps}, Paint(io.StringIO()))
    assert told[:3] == ["", "Look: report", "  # So"]
    assert told[-1] == "Look: sure  yes"
    assert "\x1b" not in "".join(told)
    assert "1 passed" not in "".join(told)
    assert output_lines({"steps": steps[1:]}, Paint(io.StringIO())) == []


def test_what_the_agent_was_given_to_read_is_listed_with_its_origin() -> None:
    """O2: the title is other people's text."""
    piece = {
        "origin": "https://github.com/a/b/issues/1", "title": "It fails\x1b[2J", "bytes": 1200,
        "fetched_at": "2026-11-30T10:00:00Z", "left_out": 2, "cut": True,
    }  # fmt: skip
    lines = render.context_lines({"context": [piece]}, Paint(io.StringIO()))
    assert lines[1:3] == ["Given to read:", "  https://github.com/a/b/issues/1"]
    assert "It fails" in lines[3]
    assert "1,200 bytes" in lines[3]
    assert "2 comments by people without a role left out, cut" in lines[3]
    assert "\x1b" not in "".join(lines)
    assert render.context_lines({}, Paint(io.StringIO())) == []
