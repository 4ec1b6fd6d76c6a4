"""A point in time for people."""

from __future__ import annotations

from datetime import UTC, datetime

from rover_mcp.domain.utc_time import utc_minute


def test_a_time_is_written_in_utc_to_the_minute() -> None:
    at = datetime(2026, 11, 30, 14, 5, 59, tzinfo=UTC)
    assert utc_minute(at) == utc_minute(at.timestamp()) == "2026-11-30 14:05Z"
