"""`rover usage`: the times it takes, its tables and its CSV."""

from __future__ import annotations

import csv
import io
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.command_line import main
from rover_mcp.cli.setup_arguments import USAGE_KEYS
from rover_mcp.cli.terminal_text import Paint, width_of
from rover_mcp.cli.usage_command import MOST_DAYS, days, since_time
from rover_mcp.cli.usage_csv import safe_cell, usage_csv
from rover_mcp.cli.usage_text import usage_lines
from rover_mcp.tasks.usage_report import UsageKey

Json = dict[str, Any]
NOTHING = {
    "tasks": 0, "calls": 0, "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0,
    "cache_write_tokens": 0, "cost_usd": None, "unpriced_tokens": 0, "estimated_calls": 0,
}  # fmt: skip


def group(key: str, **changes: Any) -> Json:
    used = {"tasks": 2, "calls": 1234, "input_tokens": 9_123_456, "output_tokens": 812_345}
    return {**NOTHING, "key": key, **used, "cost_usd": 12.3456, **changes}


def result(*groups: Json, by: str = "project", **changes: Any) -> Json:
    total = group("total") if groups else {**NOTHING, "key": "total"}
    empty: Json = {"waiting": [], "budgets": [], "more_budgets": 0, "since": None}
    return {"by": by, "groups": list(groups), "total": total, **empty, **changes}


def lines(usage: Json, width: int | None = 80) -> list[str]:
    paint = Paint(io.StringIO())
    paint.width = width
    return usage_lines(usage, paint)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOW = datetime(2026, 3, 30, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-28", "2026-03-27T23:00"),
        ("2026-03-30", "2026-03-29T22:00"),
        ("2026-03-28 14:00", "2026-03-28T13:00"),
        ("2026-03-28T14:00Z", "2026-03-28T14:00"),
        ("today", "2026-03-29T22:00"),
        ("yesterday", "2026-03-28T23:00"),
        ("12h", "2026-03-29T22:00"),
        ("7d", "2026-03-23T10:00"),
        ("2 weeks", "2026-03-16T10:00"),
    ],
)
def test_a_time_is_read_on_the_clock_of_the_user(text: str, moment: str) -> None:
    """Summer time begins on the 29th."""
    expected = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert since_time(text, NOW.astimezone()) == expected


@pytest.mark.parametrize("text", ["soon", "", "7x", "2026-13-01", "2027-01-01", "1899-01-01"])
def test_another_time_is_refused(text: str) -> None:
    with pytest.raises(ClientError):
        since_time(text, NOW.astimezone())


def test_days_begin_at_midnight_whether_they_have_23_or_25_hours() -> None:
    listed = days(since_time("2026-03-28", NOW.astimezone()), NOW.astimezone())
    assert [one["day"] for one in listed] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    lengths = [b["at"] - a["at"] for a, b in itertools.pairwise(listed)]
    assert lengths == [24 * 3600, 23 * 3600]
    assert len(days(None, NOW.astimezone())) == 366
    assert len(days(datetime(1990, 1, 1, tzinfo=UTC), NOW.astimezone())) == MOST_DAYS


def test_the_words_of_the_command_are_those_of_the_daemon() -> None:
    assert tuple(UsageKey) == USAGE_KEYS


def test_nothing_used_is_said_in_a_sentence() -> None:
    assert lines(result()) == [
        "No task has called a model so far.",
        "",
        "No task has waited so far.",
        "",
        "No unfinished task has a budget.",
    ]
    since = lines(result(since="2026-03-28T13:00:00+00:00"))
    assert since[0] == "No task has called a model since 2026-03-28 14:00 CET."


def test_every_line_fits_into_80_columns() -> None:
    groups = [group(f"/home/ann/projects/{'long-name-' * n}", tasks=n) for n in range(1, 9)]
    wait = {"waited_for": "anthropic, key of ann", "provider": "anthropic", "tasks": 12}
    wait |= {"reason": "usage_window", "seconds": 200_000, "waiting_now": 3}
    budget = {"task": "a", "number": 3, "title": "Fix it " * 20, "project": "/home/ann/repo"}
    budget |= {"status": "IN_PROGRESS", "usd": 5.0, "spent_usd": 1.25, "spent_tokens": 5}
    usage = result(*groups, waiting=[wait], budgets=[budget], more_budgets=2)
    usage["total"] |= {"unpriced_tokens": 1234, "estimated_calls": 1}
    shown = lines(usage)
    assert [line for line in shown if width_of(line) > 80] == []
    assert shown[1].split() == [
        "project",
        "tasks",
        "calls",
        "tokens",
        "in",
        "tokens",
        "out",
        "cost",
    ]
    assert "$12.35" in shown[2]
    assert "No price is known for 1,234 tokens, which the cost leaves out. rover usage" in shown[11]
    assert "anthropic, key of ann  usage_window  2 d 7 h  12, 3 now" in shown
    assert "… 2 more" in shown[-1]


def test_a_cost_that_leaves_tokens_out_is_marked() -> None:
    partly = group("/a", unpriced_tokens=5)
    unknown = group("/b", cost_usd=None, unpriced_tokens=5)
    free = group("/c", cost_usd=0.0)
    shown = lines(result(partly, unknown, free))
    assert [line.split("  ")[-1].strip() for line in shown[2:5]] == [
        "$12.35+", "no price known", "$0.00",
    ]  # fmt: skip


def test_a_task_is_named_and_a_deleted_one_has_its_id() -> None:
    named = group("a" * 32, number=3, title="Fix\x1b[2J it", project="/x/repo", in_trash=True)
    shown = lines(result(named, group("b" * 32), by="task"), None)
    assert shown[2].startswith("repo 3: Fix it (in the trash)  ")
    assert shown[3].startswith("bbbbbbbb (deleted)  ")
    assert "\x1b" not in "".join(shown)


def test_of_many_groups_the_first_are_shown_and_of_days_the_last() -> None:
    many = [group(f"/p/{n:03}") for n in range(60)]
    shown = lines(result(*many))
    assert shown[2].startswith("000 ")
    assert "… 10 more: --csv and --json have all of them" in shown
    recent = lines(result(*many, by="day"))
    assert recent[2].startswith("/p/010 ")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "＝", "\t=", "\r="])
def test_a_spreadsheet_takes_no_text_for_a_formula(first: str) -> None:
    cell = safe_cell(f"{first}HYPERLINK(1)")
    assert cell.startswith("'")
    assert safe_cell("plain = text") == "plain = text"


def test_the_csv_keeps_the_rules_of_rfc_4180() -> None:
    title = 'He said "no, no"\r\nand =1+1'
    row = group("a" * 32, number=3, title=title, project="/x,y", in_trash=False, cost_usd=1e-5)
    text = usage_csv(result(row, group("b" * 32, cost_usd=None), by="task"))
    assert text.endswith("\r\n")
    assert text.count("\n") == text.count("\r\n") == 3
    header, first, second = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header[:5] == ["task", "number", "title", "project", "tasks"]
    assert len(header) == len(first) == len(second)
    assert first[2:4] == ['He said "no, no" and =1+1', "/x,y"]
    assert (first[10], second[10]) == ("0.000010", "")
    assert second[1:4] == ["", "", ""]


def test_the_command_asks_for_days_of_the_users_calendar(
    fake: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_name: str, _params: Json) -> Json:
        return result()

    client = fake(answer)
    client.request_for_long = client.request
    assert main(["usage", "--by", "day", "--since", "today"]) == 0
    [(method, params)] = client.calls
    assert (method, params["by"]) == ("rover/usage", "day")
    assert params["days"][0]["at"] == params["since"]
    assert "No task has called a model so far." in capsys.readouterr().out
    assert main(["usage", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("project,tasks,calls,")
    assert main(["usage", "--csv", "--json"]) == 1
