"""Looks for secrets in content that is about to leave this machine. Pure.

Two things are looked for: values that are known (`KnownValues`), and tokens by their forms
(token_forms.py). Both are looked for as they stand, in base64 and in hexadecimal digits, and where
a string is split over lines or put together from pieces. A match never holds the secret.
"""

from __future__ import annotations

import re
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate

from rover_mcp.domain.secret_forms import SecretForms, Span
from rover_mcp.domain.token_forms import TOKEN_FORMS, TokenForm, is_placeholder

GATEWAY_KEY = "key that the gateway holds"
COPIED_FILE = "value of the copied file "
"""What known values are called; of a copied file its path follows."""
SHORTEST = 8
"""Bytes of a known value. What is shorter stands in ordinary text."""
_SHORTEST_LINE = 24
"""Characters of a line of a copied file that is not an assignment, to count as a secret."""
_SHORTEST_VALUE = 16
"""Characters of a value whose name does not say that it is secret."""

# A run is tried once, from its beginning, and not again from each letter of it.
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,}")
_HEX = re.compile(rb"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ ,:]{0,2}){16,}[0-9A-Fa-f]?")
_HEX_MARKS = re.compile(rb"\\x|0x|[ ,:]")
# What _HEX takes has such a run when these bytes are left out of it. Few files have one, and to see
# that costs a tenth of what _HEX costs.
_BETWEEN_DIGITS = b"\\x ,:"
_DIGITS = re.compile(rb"[0-9A-Fa-f]{32}")
_ANY_START = re.compile(
    b"|".join(re.escape(start.encode()) for token in TOKEN_FORMS for start in token.starts)
)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# How pieces of one string are put together. A quote, an operator or a comma, line ends, and a quote
# with the letters that some languages write before it; with that a line end and the next line's
# indentation; with that the mark of a comment or a list. Each for itself, since what is a mark in
# one text is a part of the secret in another. Every repetition has an end, so that a search takes
# linear time.
_CONCATENATION = rb"[\"'`][\s+.,&|\\()]{0,200}[A-Za-z]{0,2}[\"'`]"
_LINE_END = rb"[ \t]{0,8}\\?\r?\n[ \t]{0,200}"
_MARK = rb"(?:(?:[#*>|;+-]|//|--)[ \t]{0,8})?"
_JOINTS = tuple(
    re.compile(joint)
    for joint in (
        _CONCATENATION,
        _CONCATENATION + b"|" + _LINE_END,
        _CONCATENATION + b"|" + _LINE_END + _MARK,
    )
)
_ASSIGNMENT = re.compile(
    rb"^\s{0,80}(?:export\s{1,8})?[\"']?([A-Za-z_][\w.-]{0,200})[\"']?\s{0,8}[:=]\s{0,8}(.{1,4096})$"
)
_SECRET_NAME = re.compile(
    rb"secret|token|passw|passphrase|pwd|api_?key|access_?key|private|credential|auth|dsn|_key$",
    re.IGNORECASE,
)
_HARMLESS_VALUE = re.compile(
    rb"(?:[a-z][a-z0-9+.-]{1,20}://[^@\s]*|/[^\s]*|[A-Za-z .,_/-]*|[\d.]*)\Z"
)


@dataclass(frozen=True)
class SecretHit:
    """`position` is a byte of the content that was searched. `form` is how the secret stands
    there: "plain", "base64", "hex" or "split". `digest` tells whether two hits are of the same
    secret; it is kept in memory alone."""

    kind: str
    form: str
    position: int
    digest: bytes


@dataclass(frozen=True)
class SecretMatch:
    """Where a secret was found, without it. `line` is that of a file's content; with neither a line
    nor a commit the path itself holds it; with a commit the commit's message or author does."""

    kind: str
    form: str
    path: str | None
    line: int | None
    commit: str | None


class KnownValues:
    """Values that may not leave, by what they are called for people."""

    def __init__(self, values: Mapping[str, Iterable[bytes]]) -> None:
        kept = {kind: [v for v in some if len(v) >= SHORTEST] for kind, some in values.items()}
        self._forms = {kind: SecretForms(*some) for kind, some in kept.items() if some}
        self.digest = sha256(repr(sorted(kept.items())).encode()).digest()
        """Tells whether two searches look for the same values; it is kept in memory alone."""

    def spans(self, data: bytes) -> Iterator[Span]:
        """The places of the values, in any of the forms of secret_forms.py. Some may overlap."""
        for forms in self._forms.values():
            yield from forms.spans(data, 0, len(data))

    def hits(self, data: bytes, form: str) -> Iterator[SecretHit]:
        """Where a value stands, in any of the forms of secret_forms.py."""
        for kind, forms in self._forms.items():
            for begin, end in forms.spans(data, 0, len(data)):
                yield SecretHit(kind, form, begin, sha256(data[begin:end]).digest())


NOTHING_KNOWN = KnownValues({})


MOST_VALUES = 200
"""Values of one copied file, the longest: each costs time in every file that leaves."""


def values_of_file(content: bytes) -> list[bytes]:
    """What of a copied file is worth hiding: values with names such as PASSWORD, long values other
    than addresses without a password, and long lines that are not assignments."""
    values: list[bytes] = []
    for line in content.splitlines():
        text = line.strip()
        if not text or text.startswith((b"#", b"//", b";", b"-----")):
            continue
        if match := _ASSIGNMENT.match(text):
            value = match[2].strip().rstrip(b",;").strip().strip(b"\"'")
            enough = SHORTEST if _SECRET_NAME.search(match[1]) else _SHORTEST_VALUE
            if len(value) >= enough and not _HARMLESS_VALUE.match(value):
                values.append(value)
        elif len(text) >= _SHORTEST_LINE and b" " not in text:
            values.append(text)
    return sorted(values, key=len, reverse=True)[:MOST_VALUES]


def search_content(data: bytes, known: KnownValues = NOTHING_KNOWN) -> list[SecretHit]:
    """The secrets in `data`, the first hit of each, in the order of their places."""
    first: dict[tuple[str, bytes], SecretHit] = {}
    for view in _views(data):
        for hit in _hits(view.text, known, view.form):
            first.setdefault((hit.kind, hit.digest), _moved(hit, view.place(hit.position)))
    # Joining lines changes what a long token is made of, but not where it begins.
    places = {(hit.kind, hit.position): hit for hit in reversed(first.values())}
    return sorted(places.values(), key=lambda hit: hit.position)


@dataclass(frozen=True)
class _JoinedView:
    """The content as it is read by somebody who joins what was split."""

    text: bytes
    form: str
    removed: re.Pattern[bytes] | None
    data: bytes

    def place(self, position: int) -> int:
        """Where a byte of the text stands in the data. Worked out when there is a hit alone: most
        content has none."""
        if self.removed is None:
            return position
        spans = [match.span() for match in self.removed.finditer(self.data)]
        gone = list(accumulate(end - begin for begin, end in spans))
        starts = [begin - before for (begin, _), before in zip(spans, [0, *gone], strict=False)]
        # A position at a joint is the first byte behind it.
        count = bisect_right(starts, position)
        return position + (gone[count - 1] if count else 0)


def _views(data: bytes) -> Iterator[_JoinedView]:
    yield _JoinedView(data, "plain", None, data)
    if b"\0" in data:
        # UTF-16 writes a zero byte beside each ASCII character.
        nul = re.compile(rb"\0+")
        yield _JoinedView(nul.sub(b"", data), "split", nul, data)
        return
    before = data
    for joint in _JOINTS:
        joined = joint.sub(b"", data)
        if joined != before:
            yield _JoinedView(joined, "split", joint, data)
            before = joined


def _hits(data: bytes, known: KnownValues, form: str) -> Iterator[SecretHit]:
    yield from known.hits(data, form)
    yield from _tokens(data, form)
    for decoded in _decoded(data):
        for hit in _tokens(decoded.text, decoded.form):
            yield _moved(hit, decoded.place(hit.position))


def token_spans(data: bytes) -> Iterator[tuple[TokenForm, int, re.Match[bytes]]]:
    """The tokens of well-known forms: which form, where it begins, and the match behind its fixed
    start."""
    if not _ANY_START.search(data):
        return
    for token in TOKEN_FORMS:
        for start in token.starts:
            for begin, match in _of_form(data, token, start.encode()):
                yield token, begin, match


def _tokens(data: bytes, form: str) -> Iterator[SecretHit]:
    for token, begin, match in token_spans(data):
        yield SecretHit(token.kind, form, begin, sha256(data[begin : match.end()]).digest())


def _of_form(data: bytes, token: TokenForm, start: bytes) -> Iterator[tuple[int, re.Match[bytes]]]:
    at = data.find(start)
    while at >= 0:
        after = at + len(start)
        match = token.rest.match(data, after)
        if match and not is_placeholder(data[at : match.end()], match[1]):
            yield at, match
        at = data.find(start, match.end() if match else after)


@dataclass(frozen=True)
class _Decoded:
    """All that a content has in one encoding, one below the other. `starts` says where each piece
    begins in the text, `pieces` where it begins in the content and how many bytes of the content
    each of its bytes takes."""

    text: bytes
    form: str
    starts: Sequence[int]
    pieces: Sequence[tuple[int, float]]

    def place(self, position: int) -> int:
        """Where a byte of the text stands in the content, within some bytes."""
        number = bisect_right(self.starts, position) - 1
        begin, each = self.pieces[number]
        return begin + int((position - self.starts[number]) * each)


def _decoded(data: bytes) -> Iterator[_Decoded]:
    """The content's base64 and hexadecimal digits. Letters may precede what is encoded, so that
    each start is tried."""
    letters = [(run.start(), run[0].translate(_URL_SAFE)) for run in _BASE64.finditer(data)]
    for skipped in range(4) if letters else ():
        parts = [(begin + skipped, _of_base64(text[skipped:]), 4 / 3) for begin, text in letters]
        yield _stacked("base64", parts)
    places = _HEX.finditer(data) if _DIGITS.search(data.translate(None, _BETWEEN_DIGITS)) else ()
    runs = [(run.start(), len(run[0]), _HEX_MARKS.sub(b"", run[0])) for run in places]
    for skipped in range(2) if runs else ():
        parts = [
            (begin, _of_hex(digits[skipped:]), 2 * size / len(digits))
            for begin, size, digits in runs
        ]
        yield _stacked("hex", parts)


def _stacked(form: str, parts: Sequence[tuple[int, bytes, float]]) -> _Decoded:
    ends = accumulate(len(text) + 1 for _, text, _ in parts)
    pieces = [(begin, each) for begin, _, each in parts]
    return _Decoded(b"\n".join(text for _, text, _ in parts), form, [0, *ends], pieces)


def _of_base64(text: bytes) -> bytes:
    """Decoded without padding, which does not belong to the letters and may be missing."""
    size = len(text) - (len(text) % 4 == 1)
    return b64decode(text[:size] + b"=" * (-size % 4))


def _of_hex(digits: bytes) -> bytes:
    return bytes.fromhex(digits[: len(digits) - len(digits) % 2].decode())


def _moved(hit: SecretHit, position: int) -> SecretHit:
    return SecretHit(hit.kind, hit.form, position, hit.digest)


def line_of(data: bytes, position: int) -> int:
    """The number of the line that a byte stands in, from 1."""
    return data.count(b"\n", 0, position) + 1
