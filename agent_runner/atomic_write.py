"""Small files that are replaced as a whole or not at all. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, text: str, *, mode: int = 0o666, durable: bool = False) -> None:
    """Write a file beside `path` and rename it there, so that a reader sees the old text or the
    new one. `mode` is subject to the umask; `durable`: the text is on disk before the rename.
    Raises OSError.
    """
    # Two writers of one file do not meet: the last one counts.
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    # Not through a link that somebody put there, and never readable for more than `mode` says.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
