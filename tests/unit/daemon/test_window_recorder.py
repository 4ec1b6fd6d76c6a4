"""What a task's answers tell of its account's windows: written and told where it is news."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from rover_mcp.daemon.window_recorder import WindowRecorder
from rover_mcp.domain.event_kinds import WINDOW_WARNING
from rover_mcp.gateway.grant import ProviderAnswer
from rover_mcp.store import store_tables
from tests.support.attempts_site import ControlHarness, open_site
from tests.support.samples import NOW, TASK

ENDS = NOW + timedelta(hours=4)
U = "anthropic-ratelimit-unified-5h-"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ControlHarness]:
    with open_site(tmp_path) as opened:
        opened.create()
        yield opened


def answer(used: float, *, minutes: float = 0, status: str = "allowed") -> ProviderAnswer:
    headers = {
        f"{U}status": status, f"{U}utilization": str(used),
        f"{U}reset": str(int(ENDS.timestamp())),
    }  # fmt: skip
    at = NOW + timedelta(minutes=minutes)
    return ProviderAnswer(at, "POST", "/v1/messages", 200, headers, account="anthropic:work")


def test_many_answers_write_little_and_warn_once(site: ControlHarness) -> None:
    """Q3: a write for each percent, none for each request; the warning names account and time."""
    writes: list[str] = []

    def count(_c: object, _x: object, statement: str, *_: object) -> None:
        writes.append(statement)

    seen = WindowRecorder(site.store)
    sa.event.listen(site.store.database.engine, "before_cursor_execute", count)
    for number in range(300):
        warns = "allowed_warning" if number >= 250 else "allowed"
        seen.answered(TASK, answer(0.9 + number / 10_000, minutes=number / 100, status=warns))
    seen.written()
    assert 3 <= sum("INSERT INTO rover_windows" in w for w in writes) <= 6
    [told] = [e for e in site.store.events.after(0) if e.kind == WINDOW_WARNING]
    assert told.data["message"] == (
        "the 5-hour window of anthropic:work is nearly used up; it reopens at 2026-11-23 16:00Z"
    )
    assert not told.notable
    [kept] = site.store.windows.of("anthropic:work", NOW.timestamp())
    assert kept.used == pytest.approx(0.92, abs=0.011)


def test_an_answer_of_no_account_or_without_windows_writes_nothing(site: ControlHarness) -> None:
    seen = WindowRecorder(site.store)
    seen.answered(TASK, ProviderAnswer(NOW, "POST", "/", 200, {"retry-after": "5"}, account="a"))
    seen.answered(TASK, ProviderAnswer(NOW, "POST", "/", 200, {f"{U}utilization": "1"}))
    seen.written()
    with site.store.database.engine.connect() as connection:
        assert connection.execute(sa.select(store_tables.windows)).all() == []
