"""Step logs are an agent's text: read carefully, shown plain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.domain.text import plain
from rover_mcp.tasks.step_logs import MAX_LOG_BYTES, read_log


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b[?25l\x1b[38;5;196mx", "x"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm", ""),
        ("bell\x07 nul\x00 back\x08 del\x7f", "bell nul back del"),
        ("\x9b31mred \x9d0;title\x9cok", "red ok"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("\x1bP1;2|payload\x1b\\ok", "ok"),
        ("\x1b(0lines\x1b(B \x1bcreset", "lines reset"),
        ("\x1b[31", ""),
        ("\x1b", ""),
        ("a\r\nb\rc", "a\nbc"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("ünïcödé \U0001f680", "ünïcödé \U0001f680"),
    ],
)
def test_escape_sequences_are_stripped(raw: str, shown: str) -> None:
    """A log steers no terminal."""
    assert plain(raw) == shown


@given(st.text(alphabet=st.characters(max_codepoint=0x17F), max_size=80))
def test_no_text_keeps_a_control_character(text: str) -> None:
    shown = plain(text)
    assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F]


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    (tmp_path / "s.log").write_text("".join(f"line {n}\n" for n in range(10)))
    log = read_log(tmp_path, "s", 3)
    assert (log.step, log.text, log.truncated) == ("s", "line 7\nline 8\nline 9", True)
    assert not read_log(tmp_path, "s", 10).truncated


def test_without_a_step_it_is_the_one_that_wrote_last(tmp_path: Path) -> None:
    for name, when in (("new", 2000), ("old", 1000)):
        (tmp_path / f"{name}.log").write_text(name)
        os.utime(tmp_path / f"{name}.log", (when, when))
    assert read_log(tmp_path, None, 5).step == "new"


def test_before_the_first_line_there_is_no_log_and_no_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        log = read_log(folder, None, 5)
        assert (log.step, log.text, log.truncated) == (None, "", False)


@pytest.mark.parametrize("step", ["nope", "../secret", "/etc/passwd", "", "a/b", "*"])
def test_an_unknown_step_is_refused_and_the_known_are_named(tmp_path: Path, step: str) -> None:
    """A step's name is never a path."""
    (tmp_path / "secret.log").write_text("secret")
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "implement.log").write_text("x")
    with pytest.raises(NotFound, match="there are: implement") as caught:
        read_log(folder, step, 5)
    assert caught.value.code == "unknown_step"


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "s.log").symlink_to(tmp_path / "secret")
    for step in ("s", None):
        with pytest.raises(EnvironmentFault, match="cannot be read") as caught:
            read_log(tmp_path, step, 5)
        assert "secret" not in caught.value.message.replace(str(tmp_path), "")


def test_a_pipe_or_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    """Reading a pipe would never end."""
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    for step in ("pipe", "folder"):
        with pytest.raises(EnvironmentFault, match=r"not a file|cannot be read"):
            read_log(tmp_path, step, 5)


def test_a_huge_log_costs_no_more_than_its_cap(tmp_path: Path) -> None:
    """And says that it was cut."""
    with (tmp_path / "s.log").open("wb") as file:
        file.truncate(50 * 1024**3)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    log = read_log(tmp_path, "s", 2000)
    assert log.truncated
    assert log.text.endswith("the end")
    assert len(log.text) <= MAX_LOG_BYTES


def test_a_character_cut_in_two_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "s.log").write_bytes("é".encode() * MAX_LOG_BYTES + b"x")
    assert read_log(tmp_path, "s", 1).text.endswith("éx")
