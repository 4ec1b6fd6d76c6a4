"""The life of an attempt is one table, and every state of it has an explanation."""

from __future__ import annotations

import ast
import inspect

from rover_mcp.domain import attempt_state
from rover_mcp.domain.attempt_state import (
    FIRST,
    MOVES,
    OPEN,
    OVER,
    STARTED,
    WAITING,
    AttemptState,
)


def test_every_state_has_its_moves_and_can_be_reached() -> None:
    reached = {*FIRST, *(after for moves in MOVES.values() for after in moves)}
    assert set(MOVES) == reached == set(AttemptState)


def test_every_state_waits_has_started_or_is_over() -> None:
    assert sorted([*WAITING, *STARTED, *OVER]) == sorted(AttemptState)


def test_what_is_over_stays_over() -> None:
    assert all(not MOVES[state] for state in OVER)
    assert all(AttemptState.ENDED in MOVES[state] for state in OPEN)
    assert all(AttemptState.SUPERSEDED in MOVES[state] for state in WAITING)


def test_every_state_has_a_sentence_of_its_own() -> None:
    found = ast.parse(inspect.getsource(attempt_state.AttemptState)).body[0]
    assert isinstance(found, ast.ClassDef)
    after = [
        next_ for one, next_ in zip(found.body, found.body[1:], strict=False)
        if isinstance(one, ast.Assign)
    ]  # fmt: skip
    assert len(after) == len(AttemptState)
    assert all(isinstance(line, ast.Expr) for line in after)
