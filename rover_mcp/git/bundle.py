"""The bundle format, read and written here: git-bundle(5) of git 2.39, versions 2 and 3.

The header is read here, and not by git, so that every name and id in it is checked before git sees
the file, and so that the pack passes `index-pack --strict`: before version 2.46 `git fetch` does
not check the objects of a bundle, whatever fetch.fsckObjects says.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rover_mcp.domain.errors import EnvironmentFault

_MAX_HEADER = 256 * 1024
_SIGNATURES = {b"# v2 git bundle\n", b"# v3 git bundle\n"}
_PREREQUISITE = re.compile(rb"-([0-9a-f]{40})(?: [^\n]*)?\n")
_REFERENCE = re.compile(rb"([0-9a-f]{40}) (refs/[!-~]{1,300}|HEAD)\n")


@dataclass(frozen=True)
class BundleHeader:
    """`prerequisites` are commits that the reader has to have. `references` are ids by name."""

    prerequisites: Sequence[str]
    references: Mapping[str, str]


def bad_bundle(path: Path, why: str) -> EnvironmentFault:
    """The error for a bundle that is refused; nothing of it was imported."""
    return EnvironmentFault(
        f"the bundle {path.name} from the sandbox was refused: {why}",
        hint="look at the task's log; resume_task runs the interrupted step again",
        code="bundle_refused",
    )


@contextmanager
def open_bundle(path: Path, size_limit: int) -> Generator[tuple[BundleHeader, BinaryIO]]:
    """The header of a bundle, and the file, positioned where its pack begins.

    Raises:
        EnvironmentFault: it is missing, not a regular file, larger than `size_limit` bytes, or
            its header is malformed ("bundle_refused").
    """
    try:
        # The sandbox can put anything in its place: a FIFO must not block the daemon, and a link
        # must not lead it to another file of the host.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise bad_bundle(path, f"it cannot be opened: {error.strerror}") from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise bad_bundle(path, "it is not a regular file")
    with os.fdopen(handle, "rb", buffering=0) as raw:
        if facts.st_size > size_limit:
            raise bad_bundle(path, f"its {facts.st_size} bytes exceed the limit of {size_limit}")
        start = raw.read(_MAX_HEADER)
        header, length = _parse(path, start)
        raw.seek(length)
        yield header, raw


def _parse(path: Path, data: bytes) -> tuple[BundleHeader, int]:
    end = data.find(b"\n\n")
    # Not splitlines: a comment is a commit's subject and may hold a carriage return.
    lines = [line + b"\n" for line in data[: max(end, 0)].split(b"\n")]
    if end < 0 or lines[0] not in _SIGNATURES:
        raise bad_bundle(path, "its header is not that of a git bundle")
    prerequisites: list[str] = []
    references: dict[str, str] = {}
    for line in lines[1:]:
        if match := _PREREQUISITE.fullmatch(line):
            prerequisites.append(match[1].decode())
        elif (match := _REFERENCE.fullmatch(line)) and match[2].decode() not in references:
            references[match[2].decode()] = match[1].decode()
        elif line != b"@object-format=sha1\n":
            raise bad_bundle(path, "its header has a line that does not belong there")
    return BundleHeader(prerequisites, references), end + 2


def render_header(header: BundleHeader) -> bytes:
    """The header in version 2, as the bytes that come before the pack."""
    lines = ["# v2 git bundle"]
    lines += [f"-{commit}" for commit in header.prerequisites]
    lines += [f"{commit} {name}" for name, commit in header.references.items()]
    return ("\n".join(lines) + "\n\n").encode()
