"""tests/support/fake_models.py as Claude Code alone sees it: `url` is for ANTHROPIC_BASE_URL, and
side requests always succeed."""

from __future__ import annotations

from pathlib import Path

from tests.support.fake_models import FakeModels
from tests.support.models.errors import CREDIT_MESSAGE
from tests.support.models.turns import (
    Behaviour,
    auth,
    bash,
    credit,
    error,
    overloaded,
    rate_limit,
    text,
    tool,
    write,
)

__all__ = [
    "CREDIT_MESSAGE",
    "FakeAnthropic",
    "auth",
    "bash",
    "credit",
    "error",
    "overloaded",
    "rate_limit",
    "text",
    "tool",
    "write",
]


class FakeAnthropic(FakeModels):
    """One provider, one session."""

    def __init__(self, plan: list[Behaviour] | None = None, log: Path | None = None) -> None:
        super().__init__(plan, log, side_errors=False)
