"""The board's endpoint: who is let in, what it shows, and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.server.board import row_stream
from rover_mcp.server.board.board_endpoint import HEADERS
from tests.support.board_site import TOKEN, BoardSite
from tests.support.samples import new_task, pause, run_state

TASK = "a" * 32


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BoardSite]:
    with BoardSite(tmp_path) as made:
        made.desk.store.projects.register("p1", str(made.desk.repo))
        yield made


def make(site: BoardSite, task_id: str = TASK, **changes: Any) -> str:
    new = new_task(task_id, project_path=str(site.desk.repo), **changes)
    site.desk.store.tasks.create(new, frozenset())
    return task_id


def running(site: BoardSite, task_id: str = TASK) -> str:
    make(site, task_id)
    site.desk.store.claims.start(task_id, 1, f"attempt-{task_id}-1")
    site.desk.store.attempts.move(task_id, 1, ("starting",), state="running")
    return task_id


def apply(site: BoardSite, event: Event, **values: Any) -> None:
    site.desk.store.attempts.move(TASK, 1, ("running",), state="ended")
    changed = site.desk.store.transitions.apply(
        TASK, event, attempt=1, run_state=run_state(), **values
    )
    assert changed is not None


def paused(site: BoardSite) -> None:
    running(site)
    why = pause(PauseReason.REQUESTED)
    apply(site, Event.PAUSE, data=why.model_dump(mode="json"), pause=why)


# Who is let in


def test_the_page_alone_needs_no_token_and_holds_nothing(site: BoardSite) -> None:
    make(site, title="a secret plan")
    status, page = site.request("GET", "/", token=None)
    assert status == 200
    assert "secret plan" not in page
    assert TOKEN not in page


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "t", "t" * 10_000])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/rows"), ("POST", "/api/call"), ("POST", "/api/seen"), ("GET", "/api/none")],
)
def test_everything_else_needs_the_token(
    site: BoardSite, token: str | None, method: str, path: str
) -> None:
    status, answer = site.request(method, path, token=token)
    assert (status, "rover board" in answer["error"]) == (401, True)


def test_the_token_counts_in_the_header_only(site: BoardSite) -> None:
    for headers in ({"Cookie": f"token={TOKEN}"}, {"Authorization": f"Basic {TOKEN}"}):
        assert site.request("GET", "/api/rows", token=None, headers=headers)[0] == 401
    assert site.request("GET", f"/api/rows?token={TOKEN}", token=None)[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost:{port}", "127.0.0.1", "[::1]:{port}"]
)
@pytest.mark.parametrize("path", ["/", "/api/call"])
def test_a_name_that_was_rebound_to_loopback_is_refused(
    site: BoardSite, host: str, path: str
) -> None:
    """DNS rebinding: even with the token."""
    port = site.authority.rpartition(":")[2]
    headers = {"Host": host.format(port=port)}
    assert site.request("POST", path, {}, headers=headers)[0] == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:{port}", "https://127.0.0.1:{port}"]
)
def test_a_page_of_another_origin_is_refused(site: BoardSite, origin: str) -> None:
    paused(site)
    headers = {"Origin": origin.format(port=site.authority.rpartition(":")[2])}
    body = {"tool": "resume_task", "arguments": {"task": TASK}}
    assert site.request("POST", "/api/call", body, headers=headers)[0] == 403
    task = site.desk.store.tasks.get(TASK)
    assert task is not None
    assert task.status is TaskStatus.PAUSED


def test_no_other_page_can_frame_it_or_read_it(site: BoardSite) -> None:
    import http.client

    for path in ("/", "/api/rows"):
        connection = http.client.HTTPConnection(site.authority)
        connection.request("GET", path)
        answer = connection.getresponse()
        for name, value in HEADERS:
            assert answer.headers[name.decode()] == value.decode()
        assert "access-control-allow-origin" not in answer.headers
        connection.close()


def test_a_body_that_is_too_large_is_not_read(site: BoardSite) -> None:
    body = {"tool": "iterate_task", "arguments": {"instructions": "x" * 100_000}}
    assert site.request("POST", "/api/call", body)[0] == 413


# What it shows


def test_a_stream_begins_with_all_rows_and_then_sends_what_changes(site: BoardSite) -> None:
    running(site)
    with site.stream() as stream:
        name, data = stream.frame()
        assert name == "all"
        assert [(row["id"], row["group"]) for row in data["rows"]] == [(TASK, "working")]
        apply(site, Event.COMPLETE)
        stream.until("finished")
        assert site.desk.store.deletions.put(TASK)
        assert ("some", {"rows": [], "gone": [TASK]}) in iter(stream.frame, None)


def test_what_one_page_has_seen_every_page_shows_as_seen(site: BoardSite) -> None:
    running(site)
    apply(site, Event.FAIL, error="it broke")
    with site.stream() as stream:
        [row] = stream.frame()[1]["rows"]
        assert row["group"] == "failed"
        seen = {"task": TASK, "ended_at": row["ended_at"]}
        assert site.request("POST", "/api/seen", seen) == (200, {})
        stream.until("idle")
    with site.stream() as later:
        later.until("idle")


def test_an_end_that_comes_after_the_one_that_was_seen_is_shown(site: BoardSite) -> None:
    running(site)
    apply(site, Event.FAIL, error="it broke")
    task = site.desk.store.tasks.get(TASK)
    assert task is not None
    assert task.ended_at is not None
    site.request("POST", "/api/seen", {"task": TASK, "ended_at": task.ended_at - 1})
    with site.stream() as stream:
        assert stream.frame()[1]["rows"][0]["group"] == "failed"


def test_only_some_streams_are_open_at_a_time(
    site: BoardSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rover_mcp.server.board.board_endpoint.MOST_STREAMS", 1)
    assert row_stream.MOST_STREAMS == 16
    with site.stream() as stream:
        stream.frame()
        status, answer = site.request("GET", "/api/rows")
        assert (status, answer) == (429, {"error": "the board is open 1 times"})


# What it does


def test_a_paused_task_is_resumed(site: BoardSite) -> None:
    paused(site)
    body = {"tool": "resume_task", "arguments": {"task": TASK}}
    status, answer = site.request("POST", "/api/call", body)
    assert (status, answer["message"].startswith("Task 1 is ")) == (200, True)
    task = site.desk.store.tasks.get(TASK)
    assert task is not None
    assert task.status is TaskStatus.IN_PROGRESS


def test_a_merge_is_shown_and_done_only_with_what_was_shown(site: BoardSite) -> None:
    running(site)
    apply(site, Event.COMPLETE)
    body = {"tool": "merge_task", "arguments": {"task": TASK}}
    status, preview = site.request("POST", "/api/call", body)
    assert status == 200
    assert preview["confirm"]["confirm"] is True
    assert preview["message"]
    task = site.desk.store.tasks.get(TASK)
    assert task is not None
    assert task.status is TaskStatus.COMPLETED
    site.request("POST", "/api/call", {"tool": "merge_task", "arguments": preview["confirm"]})
    task = site.desk.store.tasks.get(TASK)
    assert task is not None
    assert task.status is TaskStatus.MERGED


def test_what_cannot_be_done_is_said_with_what_to_do(site: BoardSite) -> None:
    make(site)
    for arguments in ({"task": TASK}, {"task": "f" * 32}, {"task": TASK, "wrong": 1}, {}):
        body = {"tool": "merge_task", "arguments": arguments}
        status, answer = site.request("POST", "/api/call", body)
        assert status == 409
        assert answer["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"tool": "delete_task", "arguments": {"task": TASK}},
        {"tool": "push_task", "arguments": {"task": TASK}},
        {"tool": "resume_task"},
        {"tool": "resume_task", "arguments": {}, "more": 1},
        [],
        None,
    ],
)
def test_no_other_call_can_be_made(site: BoardSite, body: Any) -> None:
    assert site.request("POST", "/api/call", body)[0] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"task": TASK, "ended_at": "NaN"}, 400),
        ({"task": "../x", "ended_at": 1}, 400),
        ({"task": "e" * 32, "ended_at": 1}, 404),
    ],
)
def test_only_the_end_of_a_task_can_be_seen(site: BoardSite, body: Any, status: int) -> None:
    assert site.request("POST", "/api/seen", body)[0] == status
    assert site.desk.store.seen.all() == {}
