"""Times as people write them, in workflow files, project files and tool calls alike."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agent_runner.duration_grammar import PATTERN, UNITS, parse_duration
from agent_runner.workflow.loader import parse_workflow
from agent_runner.workflow.models import WorkflowError
from rover_mcp.config.values import Seconds
from rover_mcp.server.argument_repair import seconds

PARTS = st.tuples(st.integers(1, 7), st.sampled_from(["", " "]), st.sampled_from(sorted(UNITS)))


def in_workflow(text: str) -> float | None:
    source = f"""\
version: "1.0"
name: one
config: {{timeout: "{text}"}}
steps: [{{id: a, type: agent, prompt: p}}]
"""
    try:
        return parse_workflow(source, "w.yaml").timeout
    except WorkflowError:
        return None


def in_project(text: str) -> float | None:
    try:
        return TypeAdapter[float](Seconds).validate_python(text)
    except ValidationError:
        return None


def in_call(text: str) -> object:
    value = seconds(10**9)(text)
    return None if value == text else value


ACCEPTED = {
    "90s": 90, "5m": 300, "5 min": 300, "1h": 3600, "1h 30m": 5400, "1h30m": 5400, "2 hours": 7200,
    "1.5 hr": 5400, "30m 1h": 5400, "10 seconds": 10, "1 minute 5 secs": 65, "0.001h": 3.6,
}  # fmt: skip
REFUSED = (
    "",
    "s",
    "5x",
    "-5s",
    "5  m.",
    "1h,30m",
    "3 days",
    "1d",
    "1e3s",
    "٣s",
    "1.2345s",
    "5 m m",
)


@pytest.mark.parametrize(("text", "value"), ACCEPTED.items())
def test_all_three_readers_accept_a_time_alike(text: str, value: float) -> None:
    assert parse_duration(text) == pytest.approx(value)
    for reader in (in_workflow, in_project, in_call):
        assert reader(text) == pytest.approx(value), reader.__name__


@pytest.mark.parametrize("text", REFUSED)
def test_all_three_readers_refuse_what_is_not_a_time(text: str) -> None:
    assert parse_duration(text) is None
    for reader in (in_workflow, in_project, in_call):
        assert reader(text) is None, reader.__name__


@given(st.lists(PARTS, min_size=1, max_size=3))
def test_every_unit_is_read_by_all_three_and_by_the_schema(
    parts: list[tuple[int, str, str]],
) -> None:
    text = " ".join(f"{number}{space}{unit}" for number, space, unit in parts)
    value = sum(number * UNITS[unit] for number, _, unit in parts)
    assert re.fullmatch(PATTERN, text)
    assert [in_workflow(text), in_project(text), in_call(text)] == [value] * 3


@given(st.text(alphabet="0123456789. smhinoecutr", max_size=12))
def test_readers_agree_on_any_text(text: str) -> None:
    value = parse_duration(text)
    if value is not None and 1 <= value <= 86400:
        assert [in_workflow(text), in_project(text), in_call(text)] == [value] * 3


@pytest.mark.parametrize(("text", "value"), [("5 MIN", 300), (" 30   S ", 30), ("30", 30)])
def test_a_call_may_use_any_case_and_spacing(text: str, value: float) -> None:
    assert in_call(text) == value
