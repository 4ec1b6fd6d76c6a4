"""A full disk: how it is recognized, and how space is held for what must be written then."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

FREE_FIRST: Final = "free some space on that disk, then resume"
"""Ends the message of a pause for a full disk: nothing but a person can help."""

_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# The C library's own words, and those of SQLite and of container engines.
_WORDS: Final = (
    *(os.strerror(code).lower() for code in sorted(_CODES)),
    "disk is full",
)
_KEEP_SIZE: Final = 1  # linux/falloc.h
_LIBC: Final = ctypes.CDLL(None)


def is_no_space(error: OSError) -> bool:
    """Whether a disk, or somebody's share of it, is full."""
    return error.errno in _CODES


def says_no_space(text: str) -> bool:
    """Whether a program said that it failed for want of space."""
    lower = text.lower()
    return any(words in lower for words in _WORDS)


def reserve(descriptor: int, offset: int, length: int) -> bool:
    """Hold space of the disk for a part of a file, also beyond its end, which stays where it is
    (fallocate(2)). False where there is none, or the file system cannot do it."""
    call = _LIBC.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return call(descriptor, _KEEP_SIZE, offset, length) == 0
