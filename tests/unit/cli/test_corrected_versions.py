"""`rover doctor` names programs that are older than upstream's fix, and decides nothing by that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rover_mcp.cli.corrected_versions import FLOORS, FoundProgram, Version, concerns, find, is_below
from rover_mcp.cli.doctor_command import is_ready, judge_programs

RUNC = next(f for f in FLOORS if "31133" in f.flaw)


@pytest.mark.known_escape(10)
@pytest.mark.parametrize(
    ("version", "below"),
    [
        ((1, 1, 5), True),
        ((1, 2, 7), True),
        ((1, 2, 8), False),
        ((1, 3, 2), True),
        ((1, 3, 3), False),
        ((1, 4, 0), False),
        ((2, 0), False),
    ],
)
def test_each_line_of_versions_has_its_own_fix(version: Version, below: bool) -> None:
    assert is_below(version, RUNC) is below


@pytest.mark.known_escape(10)
@pytest.mark.parametrize(
    ("found", "named"),
    [
        (FoundProgram("bwrap", (0, 8, 0), "0.8.0"), ("87766",)),
        (FoundProgram("bwrap", (0, 11, 2), "0.11.2"), ("87766",)),
        (
            FoundProgram("bwrap", (0, 11, 1), "0.11.1", set_user_id=True),
            ("41163.*87766", "set-user-id"),
        ),
        (FoundProgram("bwrap", (0, 8, 0), "0.8.0", set_user_id=True), ("87766", "set-user-id")),
        (FoundProgram("bwrap", (0, 12, 0), "0.12.0"), ()),
        (FoundProgram("runc", (1, 1, 5), "1.1.5"), ("21626.*31133",)),
        (FoundProgram("podman", (5, 6, 0), "5.6.0"), ("9566.*52881.*94603",)),
        (FoundProgram("podman", (5, 6, 2), "5.6.2"), ("52881.*94603",)),
        (FoundProgram("podman", (6, 1, 2), "6.1.2"), ("94603",)),
        (FoundProgram("podman", (6, 1, 3), "6.1.3"), ()),
    ],
)
def test_what_is_older_than_the_fix_is_named_and_is_only_a_warning(
    found: FoundProgram, named: tuple[str, ...]
) -> None:
    """Succeeded at 700cc57: doctor said nothing of bubblewrap's, runc's or podman's version."""
    checks = judge_programs([found])
    assert len(checks) == len(named)
    for check, part in zip(checks, named, strict=True):
        words = part.split(".*")
        assert all(word in check.detail for word in words), check.detail
        assert check.todo
        assert found.text in check.detail
    assert is_ready(checks)


def test_a_version_alone_is_called_no_proof() -> None:
    (concern,) = concerns([FoundProgram("runc", (1, 1, 5), "1.1.5")])
    assert "your distribution may have fixed it" in concern.detail


def test_a_program_is_asked_for_its_version_and_its_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, said in (("bwrap", "bubblewrap 0.11.1"), ("runc", "no number"), ("podman", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o4755 if name == "bwrap" else 0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find() == [FoundProgram("bwrap", (0, 11, 1), "0.11.1", set_user_id=True)]
