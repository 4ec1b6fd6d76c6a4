"""npm's cache: contents by their SHA-512. Its index, which says what content an address has, is not
shared: npm asks for a content by the digest in a lock file or in the registry's own answer."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from rover_mcp.packages.home_files import (
    FileContent,
    ReadBudget,
    files_at,
    folder_beneath,
    regular,
    take,
)

FOLDERS = (".npm", "_cacache", "content-v2", "sha512")
_PATH = re.compile(r"([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{124})")


def keep(home: Path, store: Path, budget: ReadBudget) -> Iterator[Path]:
    """Take over what the HOME has and the store has not; each file that was."""
    with folder_beneath(home, *FOLDERS) as folder:
        if folder is None:
            return
        for place in files_at(folder, 2, budget):
            match = _PATH.fullmatch(place.path)
            target = store.joinpath(*FOLDERS, place.path)
            if match is None or target.exists():
                continue
            with regular(place) as file:
                if file is None:
                    continue
                digest = "".join(match.groups())
                content = FileContent(file, os.fstat(file).st_size, hashlib.sha512(), digest)
                if take(content, target, budget):
                    yield target
