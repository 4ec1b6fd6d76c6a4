"""Shows an agent's or a person's Markdown: text, lists, tables and links, and nothing else."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from rover_mcp.domain.text import visible

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_TAGS: Final = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES: Final = {"a": {"href"}, "ol": {"start"}}
_SCHEMES: Final = {"http", "https", "mailto"}
_DEEPEST: Final = 20
"""How deep quotations and lists may be nested; what is deeper is left out."""


def markdown_html(text: str) -> Markup:
    """The text as HTML. HTML in it is shown as text; images, and links other than to the web or a
    mail address, are left out. Headings begin at the third level, below a page's own."""
    import nh3

    raw = _parser().render(visible(text))
    for level in (6, 5, 4, 3, 2, 1):
        low = min(6, level + 2)
        raw = raw.replace(f"<h{level}>", f"<h{low}>").replace(f"</h{level}>", f"</h{low}>")
    # The parser escapes what it does not know. That nothing else gets through must not depend on
    # one library alone.
    clean = nh3.clean(
        raw, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )  # fmt: skip
    return Markup(clean)  # noqa: S704  # it was just cleaned


@cache
def _parser() -> MarkdownIt:
    # Late: of all commands and of the whole daemon, only a page needs it.
    from markdown_it import MarkdownIt

    options = {"html": False, "linkify": False, "maxNesting": _DEEPEST}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).disable("image")
