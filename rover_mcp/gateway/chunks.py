"""The chunks of an answer's body, walked in the buffer that they were received in. Pure. RFC 9112,
section 7.1.

A model's answer comes as one chunk per event, and an HTTP parser takes its time for each. Here the
data of those that arrived together is moved together in place, and goes on as one chunk.
"""

from __future__ import annotations

import re

FRONT = 8 * 1024
"""Bytes kept free before received data: what goes before it when it goes on is put there."""

BACK = 2
"""Bytes kept free behind it, for a chunk's end."""

_CRLF = b"\r\n"
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_MOST_SIZE = 10
_LARGE = 1024
"""Chunks of at least that many bytes are walked one by one, smaller ones all at once."""


class TooLong(Exception):
    """A chunk has more data than it said."""


class _Sizes(dict[bytes, int]):
    """What short size lines say. Each is read once: there are few different ones."""

    def __missing__(self, line: bytes) -> int:
        if len(line) > 3 or not _SIZE.fullmatch(line + _CRLF):
            raise KeyError(line)
        self[line] = size = int(line, 16)
        return size


class Chunks:
    """Walks one body. `over` is set at the first thing that is not a plain chunk with data: the
    last chunk, an extension, nonsense. What begins there is for an HTTP parser to judge."""

    def __init__(self) -> None:
        self.over = False
        self._in_chunk = False
        self._left = 0
        self._sizes = _Sizes()

    def walk(self, buffer: bytearray, begin: int, end: int) -> tuple[int, int]:
        """Move the data of the chunks in `buffer[begin:end]` together, to `begin`. Where the data
        ends then, and where what was taken ended: the rest needs more bytes, or is not for us.

        Raises:
            TooLong
        """
        position = stop = begin
        if self._in_chunk:
            stop, position = self._data(buffer, position, end, stop)
        if not self._in_chunk:
            stop, position = self._small(buffer, position, end, stop)
        while not self._in_chunk and (after := self._size(buffer, position, end)):
            stop, position = self._data(buffer, after, end, stop)
        return stop, position

    def _size(self, buffer: bytearray, position: int, end: int) -> int:
        """Read the size of a chunk that begins there; where its data begins. 0: more has to come,
        or it is none."""
        found = _SIZE.match(buffer, position, end)
        if found is None:
            ended = end - position >= _MOST_SIZE or buffer.find(b"\n", position, end) >= 0
            self.over = self.over or ended
            return 0
        self._left = int(found[1], 16)
        self._in_chunk = self._left > 0
        self.over = not self._in_chunk
        return found.end() if self._in_chunk else 0

    def _data(self, buffer: bytearray, position: int, end: int, stop: int) -> tuple[int, int]:
        """Take what is here of a chunk's data, and its end."""
        count = min(self._left, end - position)
        if position != stop:
            view = memoryview(buffer)
            view[stop : stop + count] = view[position : position + count]
        stop, position = stop + count, position + count
        self._left -= count
        if self._left or end - position < len(_CRLF):
            return stop, position
        if not buffer.startswith(_CRLF, position):
            raise TooLong
        self._in_chunk = False
        return stop, position + len(_CRLF)

    def _small(self, buffer: bytearray, position: int, end: int, stop: int) -> tuple[int, int]:
        """Take the chunks that are here whole where they are small, and so many: by one split and
        one comparison. Where data holds line ends of HTTP's kind it takes none."""
        first = _SIZE.match(buffer, position, end)
        if first is None or int(first[1], 16) >= _LARGE or end - position < _LARGE:
            return stop, position
        last = buffer.rfind(_CRLF, position, end)
        pieces = bytes(memoryview(buffer)[position:last]).split(_CRLF)
        lines, parts = pieces[0::2], pieces[1::2]
        if parts and not parts[-1]:
            parts.pop()  # the last chunk
        del lines[len(parts) :]
        try:
            alike = list(map(self._sizes.__getitem__, lines)) == list(map(len, parts))
        except KeyError:
            return stop, position
        if not alike or not all(parts):
            return stop, position
        body = b"".join(parts)
        buffer[stop : stop + len(body)] = body
        taken = len(body) + sum(map(len, lines)) + 2 * len(_CRLF) * len(parts)
        return stop + len(body), position + taken
