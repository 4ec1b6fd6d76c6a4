"""Connections of clients that send or read slowly, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from rover_mcp.daemon.http_service import READ_SECONDS, WRITE_SECONDS, _protocol

REQUEST = b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


@dataclass
class Timer:
    after: float
    call: Callable[[], object]
    on: bool = True

    def cancel(self) -> None:
        self.on = False


@dataclass(eq=False)
class Loop:
    timers: list[Timer] = field(default_factory=list[Timer])

    def call_later(self, after: float, call: Callable[[], object]) -> Timer:
        self.timers.append(Timer(after, call))
        return self.timers[-1]

    def create_task(self, work: Coroutine[Any, Any, None], **_: object) -> Loop:
        work.close()
        return self

    def add_done_callback(self, _call: object) -> None: ...

    def waiting(self) -> list[float]:
        return [t.after for t in self.timers if t.on]

    def pass_time(self) -> None:
        for timer in [t for t in self.timers if t.on]:
            timer.on = False
            timer.call()


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_extra_info(self, _name: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def connected(most: int = 9, state: ServerState | None = None) -> tuple[Any, Loop, Transport]:
    async def app(scope: object, receive: object, send: object) -> None: ...

    config = uvicorn.Config(app, log_config=None)
    config.load()
    loop, transport = Loop(), Transport()
    made = _protocol(most)(config, state or ServerState(), {}, loop)  # pyright: ignore[reportArgumentType]
    made.connection_made(transport)  # pyright: ignore[reportArgumentType]
    return made, loop, transport


def test_who_connects_and_says_nothing_is_left() -> None:
    _, loop, transport = connected()
    assert loop.waiting() == [READ_SECONDS]
    loop.pass_time()
    assert transport.aborted


def test_drops_of_a_request_buy_no_more_time() -> None:
    connection, loop, transport = connected()
    for at in range(0, 40, 4):
        connection.data_received(REQUEST[at : at + 4])
    assert loop.waiting() == [READ_SECONDS]
    assert len(loop.timers) == 1
    loop.pass_time()
    assert transport.aborted


def test_a_whole_request_has_all_time_for_its_answer() -> None:
    connection, loop, transport = connected()
    connection.data_received(REQUEST[:-2])
    assert loop.waiting() == [READ_SECONDS]
    connection.data_received(REQUEST[-2:])
    assert loop.waiting() == []
    assert not transport.aborted


def test_who_takes_nothing_of_the_answer_is_left() -> None:
    connection, loop, transport = connected()
    connection.data_received(REQUEST)
    connection.pause_writing()
    connection.resume_writing()
    assert loop.waiting() == []
    connection.pause_writing()
    assert loop.waiting() == [WRITE_SECONDS]
    loop.pass_time()
    assert transport.aborted


def test_beyond_the_limit_a_connection_is_not_even_heard() -> None:
    state = ServerState()
    made = [connected(2, state)[2] for _ in range(3)]
    assert [t.aborted for t in made] == [False, False, True]


def test_nothing_is_left_behind_by_a_connection_that_ends() -> None:
    connection, loop, _ = connected()
    connection.data_received(REQUEST[:5])
    connection.pause_writing()
    connection.connection_lost(ConnectionResetError())
    assert loop.waiting() == []
