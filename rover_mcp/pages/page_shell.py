"""Renders templates to whole pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rover_mcp.domain.durations import about
from rover_mcp.domain.text import visible_line
from rover_mcp.pages.content_policy import content_policy
from rover_mcp.pages.markdown import markdown_html
from rover_mcp.pages.page_wording import cost, count, moment, of_bytes, tokens

_HERE = Path(__file__).parent
STYLE = "style.css"


@cache
def environment(folder: Path) -> Environment:
    """The templates of a folder and those that all pages share. Every value is escaped unless it is
    Markup; a name that is not defined is an error.

    Filters: `about` (seconds), `tokens`, `cost`, `bytes`, `moment`, `counted` (a number with its
    noun), `line` (a name that stays in one line, with what is invisible made visible), `markdown`.
    """
    templates = Environment(
        loader=FileSystemLoader([folder, _HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Jinja's own type of this dictionary allows the filters that it comes with, and no others.
    cast("dict[str, Callable[..., Any]]", templates.filters).update(
        about=about, tokens=tokens, cost=cost, bytes=of_bytes, moment=moment, counted=count,
        line=visible_line, markdown=markdown_html,
    )  # fmt: skip
    return templates


def style_of(*files: Path) -> str:
    """The style that all pages share, followed by these files."""
    paths = [_HERE / "templates" / STYLE, *files]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def render_page(
    folder: Path,
    template: str,
    *,
    title: str,
    style: str,
    scripts: Sequence[str] = (),
    connects: bool = False,
    **values: object,
) -> str:
    """A whole page. `template` extends `page.html` and fills its block `body`. `style` and
    `scripts` are Rover's own text, which goes into the page as it stands, and which alone the
    page's policy allows."""
    policy = content_policy([style], scripts, connects=connects)
    return (
        environment(folder)
        .get_template(template)
        .render(
            page_title=title,
            page_policy=policy,
            page_style=Markup(style),  # noqa: S704  # a file of this package
            page_scripts=[Markup(script) for script in scripts],  # noqa: S704  # the same
            **values,
        )
    )


def machine_time(at: datetime) -> str:
    """A moment for the attribute `datetime`."""
    return at.isoformat(timespec="seconds")
