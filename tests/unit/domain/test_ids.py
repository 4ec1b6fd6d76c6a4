"""How tasks and branches are named (I2)."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.ids import TaskName, branch_name, meant, new_task_id, parse_task, slug

HOSTILE = [
    "--force",
    "-D main",
    "../../etc/passwd",
    "a..b",
    "ends in .lock",
    "x.lock",
    "at@{yesterday}",
    "@",
    "a\\b:c?d*e[f]",
    "tab\tand\nline",
    "nul\x00byte",
    "\x1b[31mred",
    "ünïcödé straße",
    "日本語",
    "\u202e reversed",
    "refs/heads/main",
    "HEAD",
    "$(touch /tmp/x); `id`",
    "'quoted' \"twice\"",
    " . ",
    "",
    "x" * 5000,
    "a" * 39 + " b",
]


@pytest.mark.parametrize(
    "text",
    [
        "12abc", "-1", "##1", "task", "task  1", "tasks 1", "TASK 1", "#0", "task #", "1#", "", " ", "0", "007", "+1", "1.0", "1e3", "0x10", "1_000", "1 2", " 1", "1 ",
        "1\n", "\n1", "1\r", "1\x00", "١", "１２", "²", "Ⅻ", "9999999999", "all", "*", "../1",
        "%31", "A" * 32, "0123456789ABCDEF0123456789ABCDEF", "a" * 7, "a" * 33, "a" * 32 + "\n",
        "a" * 32 + ".0", "a" * 32 + ".", "a" * 31 + ".1", "1" * 31, "ABCDEF12", "rover/", "rover/x",
        "../1-a", "a/../1-a\n", "-x/1-a", "rover/1-A", "rover/01-a",
        "g" * 32, "０" + "1" * 31, "1;drop table", "None", "-0", "１",
    ],
)  # fmt: skip
def test_anything_but_an_id_or_a_number_is_refused(text: str) -> None:
    """I2."""
    with pytest.raises(UserFixable, match="does not name a task: give its number") as caught:
        parse_task(text)
    assert caught.value.code == "malformed_id"
    assert caught.value.next_call == {"tool": "list_tasks", "arguments": {}}


def test_a_refusal_does_not_repeat_a_huge_input() -> None:
    with pytest.raises(UserFixable) as caught:
        parse_task("x" * 100_000)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *(("number", text, text) for text in ("1", "42", "999999999")),
        ("number", "#7", "7"), ("number", "task 7", "7"), ("number", "Task #7", "7"),
        ("id", "1" * 32, "1" * 32), ("id", "a" * 32 + ".12", "a" * 32),
        ("prefix", "0123abcd", "0123abcd"), ("prefix", "a" * 31, "a" * 31),
        ("branch", "rover/3-fix-the-sum", "rover/3-fix-the-sum"),
        ("branch", "me/ai_tasks/3-fix-2", "me/ai_tasks/3-fix-2"),
    ],
)  # fmt: skip
def test_a_task_can_be_named_in_these_ways(kind: str, text: str, value: str) -> None:
    """I2: 32 digits are an id, for ids are hexadecimal; the handle of a later life is one, too."""
    name = parse_task(text)
    assert (name.kind, name.value) == (kind, value)


@given(st.text(max_size=40))
def test_whatever_is_taken_is_what_was_written(text: str) -> None:
    """I2."""
    try:
        named = parse_task(text)
    except UserFixable:
        return
    assert text.endswith(named.value) or text.startswith(f"{named.value}.")


def test_new_ids_are_unguessable_and_parse() -> None:
    ids = {new_task_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(parse_task(i) == TaskName("id", i) and len(i) == 32 for i in ids)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Fix the failing test", "fix-the-failing-test"),
        ("Ünïcödé: Größe!", "unicode-groe"),
        ("日本語", "task"),
        ("", "task"),
        ("---", "task"),
        ("a" * 39 + " b", "a" * 39),
        ("a" * 50, "a" * 40),
    ],
)
def test_a_slug_is_plain(title: str, expected: str) -> None:
    assert slug(title) == expected


@given(st.text(max_size=200))
def test_every_slug_is_lower_case_ascii_with_single_dashes(title: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(title))
    assert len(slug(title)) <= 40


@pytest.mark.known_escape(14)
def test_git_accepts_the_branch_of_every_hostile_title() -> None:
    """A title becomes neither an option nor an odd ref."""
    names = [branch_name(n, title, frozenset()) for n, title in enumerate(HOSTILE, start=1)]
    for name in names:
        assert name.startswith("rover/")
        assert ".." not in name
        subprocess.run(
            ["git", "check-ref-format", "--branch", name], check=True, capture_output=True
        )


def test_a_taken_branch_gets_a_counter() -> None:
    taken = frozenset({"rover/3-fix", "rover/3-fix-2", "rover/4-fix"})
    assert branch_name(3, "fix", taken) == "rover/3-fix-3"
    assert branch_name(5, "fix", taken) == "rover/5-fix"


def test_a_name_that_is_nearly_right_is_proposed() -> None:
    names = ["quick", "swe", "swe-tdd"]
    assert meant("quik", names) == "did you mean quick? else "
    assert meant("swe_tdd", names) == "did you mean swe-tdd? else "
    assert meant("nothing like it", names) == meant("", names) == meant("x" * 10_000, names) == ""


def test_a_branch_below_the_name_is_in_its_way_too() -> None:
    assert (
        branch_name(3, "fix", frozenset({"rover/3-fix/part", "rover/3-fixed"})) == "rover/3-fix-2"
    )
    assert branch_name(3, "fix", frozenset({"rover/3-fix"}), "team/bot") == "team/bot/3-fix"
