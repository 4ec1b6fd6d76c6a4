"""The terminal pages of docs/ say the same at each run: what differs has a name."""

from __future__ import annotations

import pytest

from tests.clients.shell import normal


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ("rover inspect 3c9f00aa", "rover inspect ID"),
        ("rover inspect 30490012", "rover inspect ID"),
        ("rover inspect abcdefab", "rover inspect ID"),
        ("branch from main (1234567890)", "branch from main (ID)"),
        ("1234567 first", "ID first"),
        ("The window is 100 % used, opens 02:44Z.", "The window is 100 % used, opens TIME."),
        ("at 14:17 (in 12 min)", "at TIME (in TIME)"),
        ("1,234,567 in, 12345 out", "1,234,567 in, 12345 out"),
        ("12345678 B free", "SIZE free"),
        ("decade 123456", "decade 123456"),
    ],
)
def test_what_differs_from_run_to_run_has_a_name(seen: str, shown: str) -> None:
    assert normal(seen, {}) == shown
