"""Progress that always rises."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.server.progress_notifications import IncreasingProgress


def test_progress_that_rises_is_told_as_it_is() -> None:
    increasing = IncreasingProgress()
    assert [increasing(value) for value in (0, 10, 99)] == [0, 10, 99]


@given(st.lists(st.integers(0, 100), max_size=200))
def test_each_value_is_more_than_the_one_before_and_less_than_the_whole(values: list[int]) -> None:
    """14-9."""
    increasing = IncreasingProgress()
    told = [increasing(value) for value in values]
    assert all(before < after for before, after in pairwise(told))
    assert all(value < 100 for value in told)
