"""How far a task's branch and its base have gone apart. A value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BaseDistance:
    """`ahead`: commits of the task's branch that its base lacks; `behind`: by branch, how many
    commits of the base the task's branch lacks, where there are any."""

    ahead: int = 0
    behind: Mapping[str, int] = field(default_factory=dict[str, int])
