"""The limits on the length of files and functions, and on how few comments there are."""

from __future__ import annotations

import ast

import pytest

from tools.code_size import Sizes, comment_lines, docstring_lines, measure, spread

LEAST_COMMENTS = 0.02
"""The share of lines that are comments. Raise it when there are more; it is never lowered."""

SAMPLE = '''\
"""A module."""

# Why it is so.
VALUE = "# not a comment"  # noqa: S105


class Thing:
    """What it is,
    on two lines."""

    @property
    def size(self) -> int:
        def inner() -> int:
            return 1
        return inner()
'''


@pytest.fixture(scope="module")
def sizes() -> Sizes:
    return measure()


def test_no_file_and_no_function_is_over_its_limit(sizes: Sizes) -> None:
    assert sizes.too_long() == []


def test_the_share_of_comments_does_not_fall(sizes: Sizes) -> None:
    assert sizes.comments / sizes.lines >= LEAST_COMMENTS


def test_a_linters_note_and_a_string_are_no_comments() -> None:
    assert comment_lines(SAMPLE) == 1


def test_a_sample_is_measured_as_it_is_read() -> None:
    sizes = Sizes()
    sizes.add("sample.py", SAMPLE)

    assert sizes.lines == 15
    assert sizes.docstrings == 3
    assert sizes.functions == {"sample.py:12 Thing.size": 4, "sample.py:13 Thing.size.inner": 2}
    assert spread(sizes.functions) == "3/4/4"


def test_what_is_too_long_is_named_longest_first() -> None:
    sizes = Sizes()
    sizes.add("long.py", "\n" * 401)
    sizes.add("longer.py", "\n" * 402)
    sizes.add("f.py", "def f():\n" + "    pass\n" * 40)

    assert sizes.too_long() == ["  402  longer.py", "  401  long.py", "   41  f.py:1 f"]


def test_only_a_string_at_the_beginning_is_a_docstring() -> None:
    assert docstring_lines(ast.parse("VALUE = 1\n'text'\n")) == 0
