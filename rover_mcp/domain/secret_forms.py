"""The forms in which a secret may be repeated: unchanged, backwards, in hexadecimal digits or in
base64, and each of them with bytes escaped as in addresses, JSON and HTML. Pure."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

Span = tuple[int, int]
Bytes = bytes | bytearray

# What each begins with is looked for first: where it does not occur, that costs next to nothing.
# What was escaped more than once is recognised, too.
_ESCAPES = (
    (b"%", re.compile(rb"%(?:25){0,4}([0-9A-Fa-f]{2})")),
    (b"\\", re.compile(rb"\\\\{0,7}(?:u00([0-9A-Fa-f]{2})|(/))")),
    (b"&", re.compile(rb"&(?:#x0{0,4}([0-9A-Fa-f]{2});|#0{0,4}([0-9]{2,3});)")),
)
_BEGUN_ESCAPE = re.compile(
    rb"(?:%(?:25){0,4}[0-9A-Fa-f]?|\\{1,8}(?:u(?:0(?:0[0-9A-Fa-f]?)?)?)?|&(?:#x?[0-9A-Fa-f]{0,7})?)\Z"
)
_LONGEST_ESCAPE = 13
_ESCAPE_LETTERS = rb"%\&#;/ux0123456789abcdefABCDEF"


@dataclass(frozen=True)
class PartialSecret:
    """How many bytes at an end may be the beginning of a form, and whether they are `most` of it,
    so that the rest could be guessed."""

    count: int
    most: bool


class SecretForms:
    """The forms of one secret or several, computed once."""

    def __init__(self, *secrets: bytes) -> None:
        self._forms = tuple(dict.fromkeys(form for secret in secrets for form in _forms(secret)))
        self._letters = frozenset(b"".join(self._forms) + _ESCAPE_LETTERS)
        self._tail = _LONGEST_ESCAPE * max(map(len, self._forms), default=0)
        self._lower = tuple(form.lower() for form in self._forms)

    def spans(self, data: Bytes, begin: int, end: int) -> list[Span]:
        """Where a form occurs in `data[begin:end]`. Some may overlap."""
        spans = list(self._find(data, begin, end))
        if escapes := _escapes(data, begin, end):
            plain = _unescape(data, begin, end, escapes)
            text = plain.text
            spans += [(plain.place(b), plain.place(e)) for b, e in self._find(text, 0, len(text))]
        return spans

    def masked(self, data: bytes) -> bytes:
        """`data` with an asterisk in place of each byte of a form."""
        spans = self.spans(data, 0, len(data))
        if not spans:
            return data
        changed = bytearray(data)
        for begin, end in spans:
            changed[begin:end] = b"*" * (end - begin)
        return bytes(changed)

    def names(self, name: bytes) -> bool:
        """Whether a form occurs in text that is read without regard to case."""
        lower = name.lower()
        return any(form in lower for form in self._lower)

    def begun(self, data: Bytes, begin: int, end: int) -> PartialSecret:
        """Whether `data[begin:end]` ends with the beginning of a form; the longest such
        beginning."""
        if begin >= end or data[end - 1] not in self._letters:
            return PartialSecret(0, most=False)
        raw = bytes(data[max(begin, end - self._tail) : end])
        escape = _BEGUN_ESCAPE.search(raw)
        complete = escape.start() if escape else len(raw)
        plain = _unescape(raw, 0, complete, _escapes(raw, 0, complete))
        count, most = len(raw) - complete, False
        for form in self._forms:
            if of_raw := _beginning(raw, form):
                count, most = max(count, of_raw), most or of_raw > len(form) // 2
            if of_plain := _beginning(plain.text, form):
                place = plain.place(len(plain.text) - of_plain)
                count, most = max(count, len(raw) - place), most or of_plain > len(form) // 2
        return PartialSecret(count, most)

    def _find(self, data: Bytes, begin: int, end: int) -> Iterator[Span]:
        for form in self._forms:
            at = data.find(form, begin, end)
            while at >= 0:
                yield at, at + len(form)
                at = data.find(form, at + 1, end)


@dataclass(frozen=True)
class _Plain:
    """Text without its escapes. `at` has the places of their bytes, `more` by how many bytes the
    text is shorter up to each of them."""

    text: bytes
    begin: int
    at: Sequence[int]
    more: Sequence[int]

    def place(self, position: int) -> int:
        """Where a position in `text` is in the original."""
        return self.begin + position + self.more[bisect_left(self.at, position)]


def _escapes(data: Bytes, begin: int, end: int) -> list[re.Match[bytes]]:
    escapes = [
        escape
        for first, kind in _ESCAPES
        if (at := data.find(first, begin, end)) >= 0
        for escape in kind.finditer(data, at, end)
    ]
    return sorted(escapes, key=lambda escape: escape.start())


def _unescape(data: Bytes, begin: int, end: int, escapes: Sequence[re.Match[bytes]]) -> _Plain:
    pieces: list[bytes | bytearray] = []
    at: list[int] = []
    more, last = [0], begin
    for escape in escapes:
        pieces += (data[last : escape.start()], _byte(escape))
        at.append(escape.start() - begin - more[-1])
        more.append(more[-1] + escape.end() - escape.start() - 1)
        last = escape.end()
    pieces.append(data[last:end])
    return _Plain(b"".join(pieces), begin, at, more)


def _byte(escape: re.Match[bytes]) -> bytes:
    text = next(group for group in escape.groups() if group is not None)
    if text == b"/":
        return text
    decimal = escape[0][:2] == b"&#" and escape[0][2:3] != b"x"
    return bytes([int(text, 10 if decimal else 16) & 0xFF])


def _beginning(text: bytes, form: bytes) -> int:
    """How many bytes at the end of `text` are a beginning of `form`, but not all of it."""
    at = text.find(form[:1], max(0, len(text) - len(form) + 1))
    while at >= 0:
        if form.startswith(text[at:]):
            return len(text) - at
        at = text.find(form[:1], at + 1)
    return 0


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    # Text that holds what an escape begins with would be decoded once too often.
    yield quote_from_bytes(secret, safe="").encode()
    yield json.dumps(secret.decode("utf-8", "replace"))[1:-1].encode()
    for alphabet in (b64encode, urlsafe_b64encode):
        for before in range(3):
            yield _in_base64(alphabet(b"\0" * before + secret), before, len(secret))


# Base64 encodes three bytes as four digits, so the same secret has three encodings, depending on
# what is before it.
def _in_base64(encoded: bytes, before: int, size: int) -> bytes:
    """The digits that depend on the secret alone, and not on what is before or after it."""
    return encoded[-(-before * 8 // 6) : (before + size) * 8 // 6]
