from __future__ import annotations

from tests.attacks.__main__ import PAGE, with_tables


def test_the_page_lists_the_attacks_that_are_tested() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "run: python -m tests.attacks"
