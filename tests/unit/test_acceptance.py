"""Every behaviour that was promised has a test that names it."""

from __future__ import annotations

import pytest

from tests.acceptance import NOT_BUILT, PAGE, TESTS, collect, items, named_by, report, wrong


def test_every_item_that_is_built_has_a_test_and_every_name_is_an_item() -> None:
    known, found = items(PAGE.read_text("utf-8")), collect(TESTS)
    assert len(known) > 90
    assert wrong(known, found) == []
    assert set(known) >= NOT_BUILT


def test_an_item_without_a_test_and_a_name_without_an_item_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.acceptance.NOT_BUILT", frozenset({"N2"}))
    known = {"A1": "one", "A2": "two", "N2": "later"}
    found = {"A1": ["tests/test_x.py::test_y"], "Z9": ["tests/test_x.py::test_z"]}
    assert wrong(known, found) == ["no test names A2", "no such item: Z9 (tests/test_x.py::test_z)"]
    assert "      NO TEST" in list(report(known, found))


def test_only_docstrings_of_tests_count() -> None:
    source = (
        '"""B1."""\ndef helper():\n    """B2."""\n'
        'class T:\n    async def test_a(self):\n        """B3, B4: ..."""\n'
    )
    assert list(named_by(source)) == [("test_a", "B3"), ("test_a", "B4")]
