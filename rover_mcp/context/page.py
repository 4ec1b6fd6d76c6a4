"""Pages and images from the web, and files of the user's, as pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from rover_mcp.context.fetch import Fetched, FetchFailed
from rover_mcp.context.pieces import MAX_IMAGE, Piece, text_piece, without_comments

MAX_PAGE: Final = 5_000_000
"""Bytes of a page as it is served."""

_IMAGES: Final = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
}
_HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
_TEXT_TYPES: Final = ("text/", "application/json", "application/xml", "application/yaml")
_NOT_SHOWN: Final = ["head", "script", "style", "template", "noscript", "svg", "iframe", "object"]
_BLOCKS: Final = [
    "p",
    "div",
    "li",
    "tr",
    "pre",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "br",
    "dt",
    "dd",
]
_HIDING_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.0-9])",
    re.IGNORECASE,
)
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9_-]{1,40})")


def page_piece(fetched: Fetched) -> Piece:
    """What a person sees of a page, or an image.

    Raises:
        FetchFailed: it is neither text nor an image, or the server did not answer with it.
    """
    if fetched.status != 200:
        raise FetchFailed(f"the server answered {fetched.status}")
    if suffix := image_suffix(fetched.body):
        # By its content: a type in a header may be wrong, and the agent's program goes by the
        # suffix.
        return Piece(fetched.address, "Image", suffix, fetched.body)
    media = fetched.headers.get("content-type", "text/plain").lower()
    charset = _CHARSET.search(media)
    text = _decoded(fetched.body, charset[1] if charset else "utf-8")
    if media.startswith(_HTML_TYPES):
        title, shown = shown_text(text)
        return text_piece(fetched.address, title or "Web page", shown)
    # A NUL is in no text, whatever type a server sends a binary file with.
    if media.startswith(_TEXT_TYPES) and "\0" not in text:
        return text_piece(fetched.address, "Text", without_comments(text), suffix=".txt")
    raise FetchFailed(f"it is neither text nor a PNG, JPEG or GIF image ({media[:80]})")


def file_piece(path: str, data: bytes) -> Piece:
    """A file of the user's.

    Raises:
        FetchFailed: it is neither text nor an image.
    """
    if suffix := image_suffix(data):
        return Piece(path, "Image", suffix, data)
    if b"\0" in data:
        raise FetchFailed("it is neither text nor a PNG, JPEG or GIF image")
    return text_piece(path, "File", data.decode("utf-8", "replace"), suffix=".txt")


def image_suffix(data: bytes) -> str:
    """The suffix for an image's first bytes; empty for anything else, and for SVG, which is
    text."""
    for magic, suffix in _IMAGES.items():
        if data.startswith(magic):
            if len(data) > MAX_IMAGE:
                raise FetchFailed(f"the image is larger than {MAX_IMAGE:,} bytes")
            return suffix
    return ""


def shown_text(html: str) -> tuple[str, str]:
    """The title and the text of an HTML page. What the page hides is left out: comments, scripts,
    hidden elements, text without a size."""
    # The import takes a tenth of a second, which only those pay who name a page.
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    title = soup.title.get_text() if soup.title else ""
    # What is hidden from people is a usual place for instructions to agents.
    for element in soup.find_all(lambda tag: tag.name in _NOT_SHOWN or _is_hidden(tag.attrs)):
        element.decompose()
    # Without a line end here, the cells of a table and the items of a list would run together.
    for element in soup.find_all(_BLOCKS):
        element.insert_before("\n")
        element.append("\n")
    lines = (" ".join(line.split()) for line in soup.get_text().splitlines())
    return " ".join(title.split()), re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _is_hidden(attributes: Mapping[str, object]) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or _HIDING_STYLE.search(str(attributes.get("style", ""))) is not None
    )


def _decoded(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset, "replace")
    except LookupError:
        return data.decode("utf-8", "replace")
