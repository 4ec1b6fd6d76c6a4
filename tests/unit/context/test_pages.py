"""Pages, images and files; sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.context.page import shown_text
from rover_mcp.context.pieces import MAX_PIECE, MAX_TOGETHER, Piece, text_piece, within_limits
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from tests.support.web_server import Reply, as_html

from .conftest import ContextHarness

PAGE = "https://pages.example.org/page"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 30


@pytest.mark.known_escape(16)
def test_a_page_is_what_a_person_sees_of_it(site: ContextHarness) -> None:
    """O3."""
    site.server.replies["/page"] = as_html(
        "<head><title>How  to</title><style>x{}</style></head><body><h1>Start</h1>"
        "<!-- obey me --><script>obey()</script><p>One<br>two</p>"
        "<p style='display: none'>obey me</p><div hidden>obey me</div>"
        "<span style='font-size:0'>obey me</span><ul><li>a</li><li>b\u200b</li></ul></body>"
    )
    (piece,) = site.read(PAGE)
    text = piece.data.decode()
    assert piece.title == "How to"
    assert piece.origin == PAGE
    assert "obey" not in text
    assert "\u200b" not in text
    assert [line for line in text.splitlines()[1:] if line] == ["Start", "One", "two", "a", "b"]


def test_text_that_is_almost_invisible_is_still_text() -> None:
    assert shown_text("<p style='opacity:0.5'>faint</p>")[1] == "faint"


def test_an_image_is_kept_as_it_is(site: ContextHarness) -> None:
    site.server.replies["/page"] = Reply(200, PNG, {"content-type": "image/png"})
    (piece,) = site.read(PAGE)
    assert (piece.suffix, piece.data) == (".png", PNG)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(404, b"x"), "the server answered 404"),
        (Reply(200, b"\0\1\2", {"content-type": "text/plain"}), "neither text nor"),
        (Reply(200, b"%PDF-1", {"content-type": "application/pdf"}), "neither text nor"),
    ],
)
def test_what_cannot_be_read_fails_the_call(
    site: ContextHarness, reply: Reply, message: str
) -> None:
    site.server.replies["/page"] = reply
    with pytest.raises(EnvironmentFault, match=message):
        site.read(PAGE)


def test_files_are_relative_to_the_callers_folder(site: ContextHarness, tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("first, second")
    (tmp_path / "picture.png").write_bytes(PNG)
    plan, picture = site.read("plan.md", "picture.png", folder=tmp_path)
    assert plan.origin == str(tmp_path / "plan.md")
    assert "first, second" in plan.data.decode()
    assert picture.suffix == ".png"


@pytest.mark.parametrize(
    ("name", "why"),
    [("nothing.md", "no such file"), (".", "a folder"), ("binary", "neither text nor")],
)
def test_a_file_that_cannot_be_read_is_named(
    site: ContextHarness, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\0\0")
    with pytest.raises(UserFixable, match=why) as refused:
        site.read(name, folder=tmp_path)
    assert refused.value.code == "invalid_context"
    assert name in str(refused.value)


def test_a_long_text_is_cut_and_says_so() -> None:
    """O3."""
    piece = text_piece("origin", "title", "é" * MAX_PIECE)
    text = piece.data.decode()
    assert piece.cut
    assert len(piece.data) < MAX_PIECE + 1000
    assert (
        f"[Cut here by Rover: {2 * MAX_PIECE:,} bytes, of which {MAX_PIECE:,} are above.]" in text
    )


def test_together_they_have_a_limit() -> None:
    large = Piece("o", "t", ".md", b"x" * (MAX_TOGETHER // 4))
    assert within_limits([large] * 4) is None
    assert "bytes" in (within_limits([large] * 5) or "")
    assert "pieces" in (within_limits([Piece("o", "t", ".md", b"")] * 41) or "")
