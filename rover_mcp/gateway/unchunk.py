"""The many small chunks of a streamed answer as few large ones (RFC 9112, section 7.1). Pure.

A model's answer comes as one chunk per event, and an HTTP parser takes its time for each. Joining
those that arrived together leaves the body as it was, and makes it cheap to pass on.
"""

from __future__ import annotations

import re
from enum import Enum

MAX_HEAD = 64 * 1024
MAX_LINE = 4096
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})[ \r]")
_PLAIN_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")


class _At(Enum):
    HEAD = 1
    SIZE = 2
    DATA = 3
    DATA_END = 4
    TRAILER = 5
    COUNTED = 6
    AS_IT_IS = 7


class Unchunker:
    """Fed with what one HTTP/1.1 connection receives, answers to requests without `HEAD`; gives
    it back with joined chunks. What it does not understand is passed on from there as it is, for
    the HTTP parser to judge."""

    def __init__(self) -> None:
        self._at = _At.HEAD
        self._held = b""
        self._left = 0
        self._joined: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """What is to be read instead; may be empty where more has to come first."""
        data, self._held = self._held + data if self._held else data, b""
        out: list[bytes] = []
        position = 0
        while position < len(data):
            moved = self._step(data, position, out)
            if moved == position and self._at is not _At.AS_IT_IS:
                self._held = data[position:]
                break
            position = moved
        self._flush(out)
        return b"".join(out)

    def _step(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Take one piece; where it ends. The same position: more has to come."""
        match self._at:
            case _At.DATA | _At.COUNTED:
                return self._take(data, position, out)
            case _At.SIZE:
                return self._size(data, position, out)
            case _At.DATA_END:
                return self._data_end(data, position, out)
            case _At.HEAD:
                return self._head(data, position, out)
            case _At.TRAILER:
                return self._trailer(data, position, out)
            case _At.AS_IT_IS:
                self._flush(out)
                out.append(data[position:])
                return len(data)

    def _take(self, data: bytes, position: int, out: list[bytes]) -> int:
        part = data[position : position + self._left]
        self._left -= len(part)
        if self._at is _At.DATA:
            self._joined.append(part)
            self._at = _At.DATA if self._left else _At.DATA_END
        else:
            out.append(part)
            self._at = _At.COUNTED if self._left else _At.HEAD
        return position + len(part)

    def _whole(self, data: bytes, position: int) -> int:
        """Take the chunks that are here whole, which most are; where they end."""
        append = self._joined.append
        while found := _PLAIN_SIZE.match(data, position):
            size, begin = int(found[1], 16), found.end()
            end = begin + size
            if not size or data[end : end + 2] != b"\r\n":
                break
            append(data[begin:end])
            position = end + 2
        return position

    def _size(self, data: bytes, position: int, out: list[bytes]) -> int:
        after = self._whole(data, position)
        if after != position:
            return after
        end = data.find(b"\r\n", position, position + MAX_LINE)
        if end < 0:
            return self._wait(data, position, MAX_LINE)
        found = _SIZE.fullmatch(data, position, end)
        if found is None:
            return self._give_up(position)
        self._left = int(found[1], 16)
        if self._left:
            self._at = _At.DATA
        else:
            self._flush(out)
            out.append(data[position : end + 2])
            self._at = _At.TRAILER
        return end + 2

    def _data_end(self, data: bytes, position: int, out: list[bytes]) -> int:
        if data.startswith(b"\r\n", position):
            self._at = _At.SIZE
            return position + 2
        if data[position:] == b"\r":
            return position
        # The chunk is longer than it said. So is the joined one, then.
        self._flush(out, end=b"")
        return self._give_up(position)

    def _trailer(self, data: bytes, position: int, out: list[bytes]) -> int:
        end = data.find(b"\r\n", position, position + MAX_LINE)
        if end < 0:
            return self._wait(data, position, MAX_LINE)
        out.append(data[position : end + 2])
        if end == position:
            self._at = _At.HEAD
        return end + 2

    def _head(self, data: bytes, position: int, out: list[bytes]) -> int:
        end = data.find(b"\r\n\r\n", position, position + MAX_HEAD)
        if end < 0:
            return self._wait(data, position, MAX_HEAD)
        head = data[position : end + 4]
        out.append(head)
        status = _STATUS.match(head)
        length = _LENGTH.search(head)
        if status is None or status[1] == b"101":
            self._at = _At.AS_IT_IS
        elif status[1][:1] == b"1" or status[1] in (b"204", b"304"):
            self._at = _At.HEAD
        elif _CHUNKED.search(head):
            self._at = _At.SIZE
        elif length:
            self._left = int(length[1])
            self._at = _At.COUNTED if self._left else _At.HEAD
        else:
            self._at = _At.AS_IT_IS
        return end + 4

    def _wait(self, data: bytes, position: int, most: int) -> int:
        return position if len(data) - position < most else self._give_up(position)

    def _give_up(self, position: int) -> int:
        self._at = _At.AS_IT_IS
        return position

    def _flush(self, out: list[bytes], end: bytes = b"\r\n") -> None:
        if self._joined:
            data = b"".join(self._joined)
            self._joined = []
            out += (b"%x\r\n" % len(data), data, end)
