"""The message of a merge's commit: what an agent wrote is shaped, and forges nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.models import RunState, StepState, StepStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.merge_message import BODY, SUBJECT, cleaned, merge_message
from tests.support.samples import task_row

WRITTEN = "sum: return 0 for an empty list\n\nA sum of nothing is 0, and callers rely on it."


def task_with(*messages: str) -> TaskRow:
    """A task whose agent steps ended with these messages, in this order."""
    steps = [
        StepState(id=f"s{n}", name="x", type="agent", status=StepStatus.COMPLETED,
                  outputs={"commit_message": text} if text else {})
        for n, text in enumerate(messages)
    ]  # fmt: skip
    return replace(task_row(), title="Fix sum", run_state=RunState(steps=steps))


def test_the_agents_message_is_a_squashs() -> None:
    """N3. That of the last agent that gave one."""
    message = merge_message(task_with("old", WRITTEN, ""), None, None)
    assert (message.text, message.by) == (WRITTEN, "agent")


def test_a_merge_commit_names_the_branch_first() -> None:
    message = merge_message(task_with(WRITTEN), None, ("rover/1-sum", "next"))
    assert message.text == f"Merge branch 'rover/1-sum' into next\n\n{WRITTEN}"
    assert (message.by, message.own) == ("agent", WRITTEN), "the subject is not the agent's"


def test_the_users_message_goes_before_the_agents() -> None:
    message = merge_message(task_with(WRITTEN), " Mine\n\nWhy.\n", ("a", "b"))
    assert (message.text, message.by) == ("Mine\n\nWhy.", "user")


@pytest.mark.parametrize("text", ["", "   ", "Signed-off-by: A <a@example.com>", "\x1b[2J\n\n"])
def test_without_a_message_of_the_agents_it_is_made_from_the_title(text: str) -> None:
    message = merge_message(task_with(text), None, None)
    assert (message.text, message.by) == ("Fix sum", "title")


@pytest.mark.parametrize(
    "line",
    [
        "Signed-off-by: Linus <l@example.org>", "Co-authored-by: A B <a@b.c>",
        "co-Authored-By : x <y>", "Reviewed-by: The Boss", "  Acked-by: x", "Rover-Task: 1",
        "Change-Id: I123", "skip-checks: true", "Cc: stable@example.org",
    ],
)  # fmt: skip
def test_trailers_that_name_people_or_tools_are_left_out(line: str) -> None:
    assert cleaned(f"sum: fix\n\nWhy.\n\n{line}\n") == "sum: fix\n\nWhy."
    assert cleaned(f"{line}\nsum: fix") == "sum: fix"


@pytest.mark.parametrize(
    "mark",
    ["[skip ci]", "[ci skip]", "[no ci]", "[Skip Actions]", "[actions skip]", "***NO_CI***",
     "[skip  azurepipelines]"[:5] + " azurepipelines]"],
)  # fmt: skip
def test_words_that_switch_ci_off_are_left_out(mark: str) -> None:
    assert cleaned(f"sum: fix {mark}\n\n{mark} Why.") == "sum: fix\n\n Why."


def test_a_message_is_of_the_usual_form() -> None:
    long = "word " * 40
    text = cleaned(f"# `{long}`\n{long}\n- {long}\n\n\n\n\n    code stays {long}")
    subject, blank, *body = text.split("\n")
    assert (len(subject) <= SUBJECT, blank) == (True, "")
    assert subject.startswith("word word")
    assert all(len(line) <= SUBJECT for line in body if not line.startswith("    "))
    assert any(line.startswith("  word") for line in body), "an item's lines are indented"
    assert "\n\n\n" not in text


@given(st.text(max_size=3000))
def test_nothing_of_it_is_a_control_or_a_trailer(text: str) -> None:
    made_safe = cleaned(text)
    assert all(c == "\n" or c.isprintable() or ord(c) > 0x2FF for c in made_safe)
    assert len(made_safe) <= SUBJECT + BODY + 2
    assert len(made_safe.split("\n")[0]) <= SUBJECT
    assert "signed-off-by:" not in cleaned(f"{text}\nSigned-off-by: x <y>").lower().split("\n")
