"""Results that the daemon keeps for the next call."""

from __future__ import annotations

import pytest

from rover_mcp.daemon.remembered import Remembered


def test_a_result_is_computed_once_for_each_key() -> None:
    asked: list[str] = []
    kept = Remembered[str, int]()
    for key in ("a", "b", "a"):
        kept.get(key, lambda key=key: asked.append(key) or len(asked))
    assert asked == ["a", "b"]
    assert kept.get("a", lambda: 99) == 1


def test_the_oldest_results_are_forgotten() -> None:
    kept = Remembered[int, int](most=2)
    for key in range(3):
        kept.get(key, lambda key=key: key)
    assert [kept.get(key, lambda: -1) for key in (2, 1, 0)] == [2, 1, -1]


def test_an_error_is_not_kept() -> None:
    kept = Remembered[str, int]()

    def fails() -> int:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        kept.get("a", fails)
    assert kept.get("a", lambda: 1) == 1
