"""Remembers which credentials of running attempts were refused or missing, by their digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rover_mcp.gateway.grant import ProviderAnswer

MAY_REFUSE: Final = frozenset({400, 401, 403})
"""Statuses of answers that may say that a credential is refused."""


@dataclass
class _Seen:
    refused: set[str] = field(default_factory=set[str])
    lacked: bool = False


class KeyRefusals:
    """What happened to the credentials of running attempts; kept in memory alone."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], _Seen] = {}

    def lacked(self, task_id: str, attempt: int) -> None:
        """Note that there was no credential for a call."""
        self._of(task_id, attempt).lacked = True

    def answered(self, task_id: str, attempt: int, answer: ProviderAnswer) -> None:
        """A provider answered: it may have refused the credential."""
        if answer.status in MAY_REFUSE and answer.digest is not None:
            self._of(task_id, attempt).refused.add(answer.digest)

    def refused(self, task_id: str, attempt: int) -> list[str] | None:
        """The digests of what may have been refused, for an attempt that was paused for its
        credential; None: nothing of it was seen here, not even the refusal."""
        seen = self._seen.pop((task_id, attempt), None)
        return sorted(seen.refused) if seen else None

    def _of(self, task_id: str, attempt: int) -> _Seen:
        return self._seen.setdefault((task_id, attempt), _Seen())
