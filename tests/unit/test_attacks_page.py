from __future__ import annotations

from tests.attacks import known
from tests.attacks.__main__ import PAGE, with_tables
from tests.attacks.classes import all_attacks
from tests.attacks.escape_bench import SCENARIOS


def test_the_page_lists_the_attacks_that_are_tested() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "run: python -m tests.attacks"


def test_every_known_way_out_has_a_test_or_a_reason() -> None:
    assert len(known.KNOWN) == 23
    assert known.wrong(known.collect()) == []


def test_a_row_without_a_test_and_a_mark_without_a_row_are_reported() -> None:
    found = {k.number: ["x.py::test_x"] for k in known.KNOWN if k.number != 3} | {99: ["y.py::y"]}
    assert len(problems := known.wrong(found)) == 2
    assert "known_escape(3)" in problems[0]
    assert "no row 99" in problems[1]


def test_marks_are_read_from_tests_and_from_their_modules() -> None:
    source = (
        "pytestmark = [pytest.mark.docker, pytest.mark.known_escape(1)]\n"
        "@pytest.mark.known_escape(2, 3)\ndef test_a(): ...\n"
        "async def test_b(): ...\n"
        "def helper(): ...\n"
    )
    assert list(known.marked(source)) == [
        ("test_a", 1),
        ("test_a", 2),
        ("test_a", 3),
        ("test_b", 1),
    ]


def test_every_scenario_of_the_benchmark_names_attacks_or_says_why_not() -> None:
    assert len(SCENARIOS) == 18
    names = {attack.name for _, attack in all_attacks()}
    assert {name for scenario in SCENARIOS for name in scenario.attacks} <= names
