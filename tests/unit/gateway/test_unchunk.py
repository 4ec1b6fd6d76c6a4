"""Joined chunks are the same body, however the bytes come (RFC 9112)."""

from __future__ import annotations

import random

import h11
import pytest

from rover_mcp.gateway.unchunk import Unchunker

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PARTS = [b"data: %d\n\n" % n * (1 + n % 7) for n in range(40)] + [b"\r\n0\r\n\r\n", b"x" * 5000]


def chunked(parts: list[bytes], trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x;ext=1\r\n" % len(p) + p + b"\r\n" for p in parts[:3])
    body += b"".join(b"%X\r\n" % len(p) + p + b"\r\n" for p in parts[3:])
    return HEAD + body + b"0\r\n" + trailer + b"\r\n"


COUNTED = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n5\r\nhello!"
ANSWERS = [
    chunked(PARTS),
    COUNTED,
    b"HTTP/1.1 100 Continue\r\n\r\n" + chunked([b"a"], b"x-trailer: 1\r\n"),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    chunked([]),
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 70\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    chunked(PARTS[:5]),
]


def parsed(received: list[bytes]) -> list[tuple[int, bytes]]:
    """Status and body of each answer, as h11 reads them on one connection."""
    found: list[tuple[int, bytes]] = []
    pending = list(received)
    connection = h11.Connection(h11.CLIENT)
    for _ in ANSWERS:
        request = h11.Request(method="GET", target="/", headers=[("host", "x")])
        connection.send(request)
        connection.send(h11.EndOfMessage())
        status, body = 0, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(pending.pop(0))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
        found.append((status, body))
        connection.start_next_cycle()
    assert not b"".join(pending)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_the_body_is_the_same_however_the_bytes_come(seed: int) -> None:
    """As an HTTP parser reads it, answer after answer on one connection."""
    whole = b"".join(ANSWERS)
    chance = random.Random(seed)
    most = chance.choice((1, 2, 7, 100, 100_000))
    pieces: list[bytes] = []
    position = 0
    while position < len(whole):
        size = chance.randint(1, most)
        pieces.append(whole[position : position + size])
        position += size
    unchunker = Unchunker()
    joined = [out for piece in pieces if (out := unchunker.feed(piece))]
    assert parsed(joined) == parsed([whole])


def test_chunks_that_come_together_are_one() -> None:
    out = Unchunker().feed(chunked(PARTS))
    assert out.count(b"\r\ndata: ") == 1
    body = b"".join(PARTS)
    assert out == HEAD + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


def test_what_has_come_is_not_held_back() -> None:
    """An event is passed on though its chunk is not complete, and so is one of many."""
    unchunker = Unchunker()
    assert unchunker.feed(HEAD + b"a\r\nhel") == HEAD + b"3\r\nhel\r\n"
    assert unchunker.feed(b"lo") == b"2\r\nlo\r\n"
    assert unchunker.feed(b"world\r") == b"5\r\nworld\r\n"
    assert unchunker.feed(b"\n3") == b""
    assert unchunker.feed(b"\r\nabc\r\n0\r\n\r\n") == b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "wrong",
    [
        HEAD + b"zz\r\nhello\r\n",
        HEAD + b"-5\r\nhello\r\n",
        HEAD + b"5\r\nhello!\r\n0\r\n\r\n",
        HEAD + b"f" * 5000,
        HEAD + b"fffffffffffffffff\r\n",
        b"\x15\x03\x01 not HTTP\r\n\r\n" + b"x" * 10,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_what_is_not_understood_is_left_to_the_http_parser(wrong: bytes) -> None:
    """It judges the joined bytes as it judges the others."""

    def refused(received: bytes) -> bool:
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(received)
        try:
            while connection.next_event() not in (h11.NEED_DATA, h11.PAUSED):
                pass
        except h11.RemoteProtocolError:
            return True
        return False

    unchunker = Unchunker()
    out = unchunker.feed(wrong)
    assert refused(out + unchunker.feed(b"more")) is refused(wrong + b"more")


def test_an_answer_without_a_length_and_an_upgrade_pass_as_they_are() -> None:
    for head in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"):
        unchunker = Unchunker()
        assert unchunker.feed(head + b"5\r\nhello\r\n") == head + b"5\r\nhello\r\n"
        assert unchunker.feed(b"0\r\n\r\n") == b"0\r\n\r\n"
