"""Recognizes a full disk, and reserves space for what must be written to one."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

FREE_FIRST: Final = "free some space on that disk, then resume"
"""The end of a pause's message for a full disk: only a person can help."""

_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# The messages of the C library, of SQLite and of container engines.
_WORDS: Final = (
    *(os.strerror(code).lower() for code in sorted(_CODES)),
    "disk is full",
)
_KEEP_SIZE: Final = 1  # linux/falloc.h
_LIBC: Final = ctypes.CDLL(None)


def is_no_space(error: OSError) -> bool:
    """Whether an error means that the disk or the user's quota is full."""
    return error.errno in _CODES


def says_no_space(text: str) -> bool:
    """Whether a program's message says that it found no space."""
    lower = text.lower()
    return any(words in lower for words in _WORDS)


def reserve(descriptor: int, offset: int, length: int) -> bool:
    """Reserve disk space for a part of a file, also beyond its end, which does not move
    (fallocate(2)). False if there is no space, or the file system cannot do it."""
    call = _LIBC.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return call(descriptor, _KEEP_SIZE, offset, length) == 0
