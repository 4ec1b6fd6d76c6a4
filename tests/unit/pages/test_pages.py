"""The parts that all pages share: what a stranger wrote is shown, and never obeyed."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from rover_mcp.pages.content_policy import content_policy
from rover_mcp.pages.highlight import MOST_CHARACTERS, code_lines, lexer_for
from rover_mcp.pages.markdown import markdown_html
from rover_mcp.pages.page_shell import environment, render_page, style_of
from rover_mcp.pages.page_wording import cost, count, moment, of_bytes, tokens
from rover_mcp.pages.terminal_colours import terminal_html


def _page(folder: Path, body: str, **values: object) -> str:
    template = f'{{% extends "page.html" %}}{{% block body %}}{body}{{% endblock %}}'
    (folder / "t.html").write_text(template)
    return render_page(folder, "t.html", title="T <x>", style=style_of(), **values)


def test_a_value_is_escaped_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    html = _page(tmp_path, '<p title="{{ v }}">{{ v }}</p>', v='"><script>alert(1)</script>')
    assert html.count("&lt;script&gt;") == 2
    assert "<script>" not in html
    assert "<title>T &lt;x&gt;</title>" in html
    with pytest.raises(UndefinedError):
        environment(tmp_path).from_string("{{ nothing }}").render()


def test_the_policy_allows_the_pages_own_style_and_nothing_else(tmp_path: Path) -> None:
    html = _page(tmp_path, "")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert policy
    assert style
    digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    text = policy[1].replace("&#39;", "'")
    assert f"style-src 'sha256-{digest}'" in text
    assert text.startswith("default-src 'none'")
    assert "script-src 'none'" in text
    assert "connect-src 'none'" in text


def test_a_script_of_a_page_is_allowed_by_its_hash() -> None:
    policy = content_policy(["a{}"], ["f()"], connects=True)
    assert f"script-src 'sha256-{b64encode(hashlib.sha256(b'f()').digest()).decode()}'" in policy
    assert "connect-src 'self'" in policy


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("<img src=x onerror=alert(1)>", "<img"),
        ("![i](https://evil.example/i.png)", "<img"),
        ("[x](javascript:alert(1))", "href"),
        ("[x](data:text/html;base64,PHN2Zz4=)", "href"),
        ("[x](JaVaScRiPt&#58;alert(1))", "href"),
        ("<svg/onload=alert(1)>", "<svg"),
        ("```\n</pre><script>x</script>\n```", "<script"),
        ("<style>*{display:none}</style>", "<style"),
        ('[x](https://a.example/" onmouseover="alert(1))', "href"),
        ("a \u202egnp.exe", "\u202e"),
    ],
)
def test_markdown_gives_text_and_links_alone(text: str, absent: str) -> None:
    assert absent not in markdown_html(text)


def test_markdown_keeps_what_people_write() -> None:
    html = markdown_html("# Done\n\n- `a < b` and **c**\n\n[d](https://d.example/x?y=1&z)")
    assert "<h3>Done</h3>" in html
    assert "<code>a &lt; b</code> and <strong>c</strong>" in html
    assert 'href="https://d.example/x?y=1&amp;z"' in html
    assert "noopener" in html


def test_a_log_keeps_colours_and_nothing_else_of_a_terminal() -> None:
    text = (
        "\x1b[31mred <b>\x1b[0m \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 "
        "\x1b[38;2;1;2;3mtrue\x1b[m \x1b[8mhidden\x1b[m \u202eback \x1b[2J\x1b]0;title\x07"
    )
    html = terminal_html(text)
    assert '<span class="ansi31">red &lt;b&gt;</span>' in html
    assert "javascript" not in html
    assert "true" in html
    assert "hidden" in html
    assert "\\u202eback" in html
    assert "\x1b" not in html
    assert "style=" not in html


def test_colours_that_nobody_ends_end_with_the_log() -> None:
    html = terminal_html("\x1b[1;31m" * 50 + "x\ny")
    assert html.count("<span") == html.count("</span>")


def test_every_line_of_code_stays_the_line_that_it_was() -> None:
    lines = ["def f():", '    """a', "", 'b"""', "    return '</script>'", ""]
    shown = code_lines(lexer_for("src/x.py"), lines)
    assert [re.sub(r"<[^>]*>", "", line) for line in shown] == [
        line.replace("'", "&#39;").replace('"', "&#34;").replace("<", "&lt;").replace(">", "&gt;")
        for line in lines
    ]
    assert '<span class="k">def</span>' in shown[0]


def test_code_that_would_take_long_is_shown_without_colours() -> None:
    lines = ["x = 1"] * MOST_CHARACTERS
    assert code_lines(lexer_for("x.py"), lines) == lines
    assert code_lines(lexer_for("x.py"), ["x" * 1_000_000 + "<"])[0].endswith("&lt;")


def test_a_file_of_no_known_language_has_no_colours() -> None:
    assert code_lines(lexer_for("x.nosuchending"), ["if <x>"]) == ["if &lt;x&gt;"]


def test_numbers_are_worded_alike_everywhere() -> None:
    assert [tokens(n) for n in (0, 950, 12_340, 999_960, 1_240_000)] == [
        "0", "950", "12.3 k", "1.00 M", "1.24 M",
    ]  # fmt: skip
    assert [cost(c) for c in (None, 0.0, 0.004, 1234.5)] == [
        "no price known", "$0.00", "under $0.01", "$1,234.50",
    ]  # fmt: skip
    assert [of_bytes(n) for n in (0, 1023, 1536, 20 * 2**20)] == [
        "0 bytes", "1023 bytes", "1.5 KB", "20.0 MB",
    ]  # fmt: skip
    assert [count(1, "file"), count(2000, "file"), count(2, "entry", "entries")] == [
        "1 file", "2,000 files", "2 entries",
    ]  # fmt: skip
    assert moment(datetime(2026, 11, 30, 21, 40, 59, tzinfo=UTC)) == "2026-11-30 21:40Z"
