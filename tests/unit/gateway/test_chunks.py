"""Chunks that are walked in place are the same body, however the bytes come (RFC 9112)."""

from __future__ import annotations

import random

import h11
import pytest

from rover_mcp.gateway.chunks import FRONT, Chunks, TooLong

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = [b"data: %d\n\n" % n * (1 + n % 7) for n in range(90)]
ODD = [b"\r\n0\r\n\r\n", b"x" * 5000, b"a\r\nb", b"5\r\nhello\r\n"]


def chunked(parts: list[bytes], size: bytes = b"%x\r\n", trailer: bytes = b"") -> bytes:
    return b"".join(size % len(p) + p + b"\r\n" for p in parts) + b"0\r\n" + trailer + b"\r\n"


class Receiver:
    """A connection's buffer, as `wire` keeps one."""

    def __init__(self) -> None:
        self.chunks = Chunks()
        self.buffer = bytearray(FRONT + 100_000)
        self.end = FRONT

    def feed(self, data: bytes) -> bytes:
        """The body's next part."""
        self.buffer[self.end : self.end + len(data)] = data
        self.end += len(data)
        if self.chunks.over:
            return b""
        stop, taken = self.chunks.walk(self.buffer, FRONT, self.end)
        body, rest = bytes(self.buffer[FRONT:stop]), self.rest_from(taken)
        self.buffer[FRONT : FRONT + len(rest)] = rest
        self.end = FRONT + len(rest)
        return body

    def rest_from(self, position: int) -> bytes:
        return bytes(self.buffer[position : self.end])

    @property
    def rest(self) -> bytes:
        """What is left for the parser."""
        return self.rest_from(FRONT)


def parsed(body: bytes) -> bytes:
    """As h11 reads it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + body)
    found = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA
        if isinstance(event, h11.Data):
            found += event.data
    assert not connection.trailing_data[0]
    return found


BODIES = [
    chunked(EVENTS),
    chunked(EVENTS, b"%X\r\n"),
    chunked(EVENTS[:40] + ODD + EVENTS[40:]),
    chunked(ODD + EVENTS),
    chunked(EVENTS[:30]).removesuffix(b"0\r\n\r\n") + chunked(EVENTS, b"%x;ext=1\r\n"),
    chunked(EVENTS, b"000%x\r\n", b"x-trailer: 1\r\n"),
    chunked([]),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("seed", range(12))
def test_the_body_is_the_same_however_the_bytes_come(seed: int, body: bytes) -> None:
    """What is walked, and what the parser reads of the rest: all of it as the parser alone would."""
    chance = random.Random(seed)
    most = chance.choice((1, 2, 7, 100, 1500, 100_000))
    receiver, found, position = Receiver(), b"", 0
    while position < len(body):
        size = chance.randint(1, most)
        found += receiver.feed(body[position : position + size])
        position += size
    assert receiver.chunks.over
    assert found + parsed(receiver.rest) == parsed(body)


def test_plain_chunks_are_all_walked_and_what_comes_together_is_one() -> None:
    receiver = Receiver()
    assert receiver.feed(chunked([*EVENTS, b"x" * 5000, *EVENTS])) == b"".join(
        [*EVENTS, b"x" * 5000, *EVENTS]
    )
    assert receiver.rest == b"0\r\n\r\n"


def test_what_has_come_is_not_held_back() -> None:
    """An event is passed on though its chunk is not complete."""
    receiver = Receiver()
    assert receiver.feed(b"a\r\nhel") == b"hel"
    assert receiver.feed(b"lo") == b"lo"
    assert receiver.feed(b"world\r") == b"world"
    assert receiver.feed(b"\n3") == b""
    assert receiver.feed(b"\r\nabc\r\n0\r") == b"abc"
    assert not receiver.chunks.over
    assert receiver.feed(b"\n\r\n") == b""
    assert receiver.chunks.over


@pytest.mark.parametrize(
    "wrong",
    [
        b"zz\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"1_0\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5;x\r\nh",
        b"f" * 5000,
        b"fffffffff\r\n",
        b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", chunked(EVENTS).removesuffix(b"0\r\n\r\n")])
def test_what_is_no_plain_chunk_is_left_to_the_parser(before: bytes, wrong: bytes) -> None:
    """From its first byte; nothing of it is taken."""
    receiver = Receiver()
    body = receiver.feed(before + wrong)
    assert body == (b"".join(EVENTS) if before else b"")
    assert receiver.chunks.over
    assert receiver.rest == wrong


@pytest.mark.parametrize("before", [b"", chunked(EVENTS).removesuffix(b"0\r\n\r\n")])
@pytest.mark.parametrize("wrong", [b"5\r\nhello!\r\n", b"5\r\nhello5\r\nhello\r\n", b"2\r\nab\n\n"])
def test_a_chunk_that_is_longer_than_it_said_is_none(before: bytes, wrong: bytes) -> None:
    with pytest.raises(TooLong):
        Receiver().feed(before + wrong)
