"""Wheels of Python: fetched by the digest that they have to have, and unpacked."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from rover_mcp.config.certificate_authorities import outgoing_context
from rover_mcp.packages.home_files import ReadBudget, appearing

SECONDS = 900.0
"""For one wheel."""
_SILENCE = 60.0
_CHUNK = 256 * 1024
_MOST_FILES = 100_000
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError,
    FileExistsError, NotADirectoryError, IsADirectoryError,
)  # fmt: skip
"""What unpacking a zip file raises that somebody wrote as they liked."""

log = logging.getLogger("rover.packages")

Open = Callable[[str], AbstractContextManager[BinaryIO]]


def opened(url: str) -> AbstractContextManager[BinaryIO]:
    """The answer to a GET of an https address; no other one is followed.

    Raises:
        OSError: there is none.
    """
    tls = urllib.request.HTTPSHandler(context=outgoing_context())
    opener = urllib.request.build_opener(tls, _NoRedirect)
    return opener.open(url, timeout=_SILENCE)


def fetch(url: str, digest: str, into: Path, budget: ReadBudget, get: Open = opened) -> bool:
    """Whether the wheel that this address gives has this digest, and is unpacked at `into` now.

    Raises:
        OSError: it cannot be written.
    """
    wheel = into.with_name(f"{into.name}.whl")
    try:
        return _download(url, digest, wheel, budget, get) and unpack(wheel, into, budget)
    finally:
        wheel.unlink(missing_ok=True)


def _download(url: str, digest: str, target: Path, budget: ReadBudget, get: Open) -> bool:
    until, hashed = time.monotonic() + SECONDS, hashlib.sha256()
    try:
        with get(url) as answer, appearing(target) as copy:
            while data := answer.read(_CHUNK):
                budget.size -= len(data)
                # A server may send without end, or one byte a minute.
                if budget.size < 0 or time.monotonic() > until:
                    return False
                hashed.update(data)
                copy.file.write(data)
            copy.proven = hashed.hexdigest() == digest
    except (OSError, HTTPException) as error:
        log.info("%s is not kept: %s", url, error)
        return False
    return copy.proven


def unpack(wheel: Path, into: Path, budget: ReadBudget) -> bool:
    """Whether the complete wheel is unpacked at `into` now; nothing is there if not.

    Raises:
        OSError: it cannot be written.
    """
    # Renamed when complete, so that a daemon that dies meanwhile leaves no half of a wheel.
    part = into.with_name(f"{into.name}.part")
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = archive.infolist()
            # Before unpacking: what a zip file becomes is written in it, and zipfile stops at that
            # size.
            budget.size -= sum(entry.file_size for entry in entries)
            if budget.size < 0 or len(entries) > _MOST_FILES:
                return False
            for entry in entries:
                _write(archive, entry, part)
        part.rename(into)
    except _BROKEN:
        return False
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path) -> None:
    """Write one file of it.

    Raises:
        ValueError: its name leads elsewhere.
    """
    name = PurePosixPath(entry.filename)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(entry.filename)
    target = into / name
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile reads no more than the size that the entry says.
    with archive.open(entry) as content, target.open("xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
    # A wheel has programs in it too. No other right of the archive is taken over.
    if entry.external_attr >> 16 & 0o111:
        target.chmod(0o755)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """None: an answer that leads elsewhere is an error."""
