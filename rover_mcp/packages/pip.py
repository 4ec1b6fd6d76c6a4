"""pip's cache of answers. One is taken over only where its content has the BLAKE2b digest that the
address itself names, as PyPI's do: whoever asks for this address asks for this content.

A file of the cache is named after the SHA-224 of its address and does not hold the address itself.
Addresses are found in the pages of the index that pip cached beside it; what else these pages say
does not count. Status and headers of a stored answer are ours, so that none leads elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from rover_mcp.packages.home_files import (
    Envelope,
    FileContent,
    ReadBudget,
    chunks,
    files_at,
    folder_beneath,
    regular,
    take,
)

SEPARATE, TOGETHER = "http-v2", "http"
"""Since pip 23.3 the content is a file of its own, NAME.body; before it stood within the answer."""
BODY = ".body"
FOLDERS = (".cache", "pip")
_DEPTH = 5
_NAME = re.compile(r"[0-9a-f]{56}")
_ADDRESS = re.compile(
    rb"https?://[A-Za-z0-9.:-]{1,255}/packages"
    rb"/([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{60})/[A-Za-z0-9._+!~-]{1,255}"
)
_HEAD = re.compile(
    rb"cc=4,\x82\xa8response[\x80-\x8f]\xa4body(?:\xc4(.)|\xc5(..)|\xc6(....))", re.DOTALL
)
_PAGE_BYTES = 16 * 1024**2
_PAGES_BYTES = 64 * 1024**2
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class _CachedAnswer:
    """Where the content of a cached answer is: after `start` bytes of its file, `size` of them."""

    path: str
    start: int
    size: int


def keep(home: Path, store: Path, budget: ReadBudget) -> Iterator[Path]:
    """Take over what the HOME has and the store has not; each file that was."""
    for kind in (SEPARATE, TOGETHER):
        with folder_beneath(home, *FOLDERS, kind) as folder:
            if folder is not None:
                yield from _keep(folder, kind, store.joinpath(*FOLDERS, kind), budget)


def lacks_content(path: Path) -> bool:
    """Whether this is an answer whose content, a file of its own, is missing."""
    separate = SEPARATE in path.parts and path.suffix != BODY
    return separate and not path.with_name(f"{path.name}{BODY}").exists()


def _keep(folder: int, kind: str, store: Path, budget: ReadBudget) -> Iterator[Path]:
    answers = {answer.path: answer for answer in _answers(folder, kind, budget)}
    wanted = _digests(folder, answers, budget)
    for place in files_at(folder, _DEPTH, budget) if wanted else ():
        target = store / place.path
        if place.path not in wanted or target.exists():
            continue
        with regular(place) as file:
            if file is None:
                continue
            answer = answers[place.path]
            os.lseek(file, answer.start, os.SEEK_SET)
            hashed = hashlib.blake2b(digest_size=32)
            content = FileContent(file, answer.size, hashed, wanted[place.path])
            if _take(content, kind, target, budget):
                yield target


def _take(content: FileContent, kind: str, target: Path, budget: ReadBudget) -> bool:
    if kind == TOGETHER:
        return take(content, target, budget, _around(content.size, content.size))
    if not take(content, target, budget):
        return False
    answer = _around(0, content.size)
    target.with_suffix("").write_bytes(answer.before + answer.after)
    return True


def _answers(folder: int, kind: str, budget: ReadBudget) -> Iterator[_CachedAnswer]:
    """The cached contents."""
    suffix = BODY if kind == SEPARATE else ""
    for place in files_at(folder, _DEPTH, budget):
        if not (place.name.endswith(suffix) and _NAME.fullmatch(place.name.removesuffix(suffix))):
            continue
        with regular(place) as file:
            if file is None:
                continue
            size = os.fstat(file).st_size
            if kind == SEPARATE:
                yield _CachedAnswer(place.path, 0, size)
            elif head := _HEAD.match(os.read(file, 64)):
                length = int.from_bytes(next(part for part in head.groups() if part), "big")
                yield _CachedAnswer(place.path, head.end(), length)


def _digests(
    folder: int, answers: Mapping[str, _CachedAnswer], budget: ReadBudget
) -> dict[str, str]:
    """Of these contents, those whose address is known and names a digest; and that."""
    by_name = {path.rpartition("/")[2].removesuffix(BODY): path for path in answers}
    wanted: dict[str, str] = {}
    left = _PAGES_BYTES
    for place in files_at(folder, _DEPTH, budget):
        if left <= 0:
            break
        if place.path not in answers:
            continue
        with regular(place) as file:
            page = _page(file, answers[place.path]) if file is not None else b""
        left -= len(page) + 1024
        for address in _ADDRESS.finditer(page):
            name = hashlib.sha224(address[0]).hexdigest()
            if name in by_name:
                wanted[by_name[name]] = b"".join(address.groups()).decode()
    return wanted


def _page(file: int, answer: _CachedAnswer) -> bytes:
    """The content as far as it is looked at, where it is a page of an index."""
    os.lseek(file, answer.start, os.SEEK_SET)
    begin = os.read(file, min(64, answer.size))
    packed = zlib.decompressobj(wbits=31) if begin[:2] == b"\x1f\x8b" else None
    try:
        text = bytearray(packed.decompress(begin, 64) if packed else begin)
        if bytes(text[:1]) not in (b"<", b"{", b""):
            return b""
        for data in chunks(file, min(answer.size, _PAGE_BYTES) - len(begin)):
            room = _PAGE_BYTES - len(text)
            if room <= 0:
                break
            given = packed.unconsumed_tail + data if packed else data
            text += packed.decompress(given, room) if packed else given
    except zlib.error:
        return b""
    return bytes(text)


def _around(within: int, size: int) -> Envelope:
    """What pip expects before and after a content of `within` bytes, as CacheControl writes it; the
    answer's own content has `size` bytes."""
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(size),
        "cache-control": f"max-age={_YEAR}, immutable, public",
        "date": formatdate(usegmt=True),
    }
    before = b"cc=4,\x82" + _text("response") + b"\x86" + _text("body")
    before += b"\xc6" + within.to_bytes(4, "big")
    after = _text("headers") + bytes([0x80 | len(headers)])
    after += b"".join(_text(part) for pair in headers.items() for part in pair)
    after += _text("status") + b"\xcc\xc8" + _text("version") + b"\x0b"
    after += _text("reason") + _text("OK") + _text("decode_content") + b"\xc2"
    return Envelope(before, after + _text("vary") + b"\x80")


def _text(value: str) -> bytes:
    data = value.encode()
    return b"\xd9" + bytes([len(data)]) + data
