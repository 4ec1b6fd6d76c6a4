"""The header of a bundle that a sandbox wrote: read strictly, and written as git reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.bundle import BundleHeader, open_bundle, render_header

COMMIT, BASE = "a" * 40, "b" * 40
HEADER = BundleHeader([BASE], {"refs/heads/x": COMMIT})
LIMIT = 10_000


def refused(path: Path, limit: int = LIMIT) -> str:
    with pytest.raises(EnvironmentFault) as error, open_bundle(path, limit):
        raise AssertionError("it was opened")
    assert error.value.code == "bundle_refused"
    return error.value.message


def test_what_is_written_is_read_and_the_pack_follows(tmp_path: Path) -> None:
    path = tmp_path / "one.bundle"
    path.write_bytes(render_header(HEADER) + b"PACK")
    with open_bundle(path, LIMIT) as (header, file):
        assert (list(header.prerequisites), dict(header.references)) == (
            [BASE], {"refs/heads/x": COMMIT},
        )  # fmt: skip
        assert file.read() == b"PACK"


def test_version_3_and_a_comment_are_read(tmp_path: Path) -> None:
    path = tmp_path / "one.bundle"
    path.write_bytes(
        b"# v3 git bundle\n@object-format=sha1\n"
        + f"-{BASE} a subject\r with a return\n{COMMIT} refs/heads/x\n\nPACK".encode()
    )
    with open_bundle(path, LIMIT) as (header, file):
        assert list(header.prerequisites) == [BASE]
        assert file.read() == b"PACK"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not that of a git bundle"),
        (b"# v2 git bundle\n", "not that of a git bundle"),
        (b"# v9 git bundle\n\nPACK", "not that of a git bundle"),
        (b"# v2 git bundle\nnonsense\n\nPACK", "does not belong there"),
        (b"# v2 git bundle\n@object-format=sha256\n\nPACK", "does not belong there"),
        (f"# v2 git bundle\n{COMMIT} HEAD\n{BASE} HEAD\n\n".encode(), "does not belong there"),
    ],
)
def test_a_malformed_header_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "one.bundle"
    path.write_bytes(data)
    assert why in refused(path)


def test_neither_links_nor_pipes_nor_large_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "one.bundle"
    assert "cannot be opened" in refused(path)
    os.mkfifo(path)
    assert "not a regular file" in refused(path)
    path.unlink()
    (tmp_path / "other").write_bytes(render_header(HEADER))
    path.symlink_to(tmp_path / "other")
    assert "cannot be opened" in refused(path)
    assert "exceed the limit of 10" in refused(tmp_path / "other", 10)
