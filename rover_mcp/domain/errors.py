"""The errors that a caller sees.

RoverError
├── UserFixable        the caller can fix it: a tool error with a hint and, if one exists, a call
│   ├── NotFound       no such task, workflow, agent, ...
│   ├── Conflict       the state does not allow it (a status, a race that was lost)
│   └── NeedsConsent   only a person can allow it
└── EnvironmentFault   engine, git, disk, data folder: something of the machine's has to be fixed

Anything else that escapes is a bug and becomes a protocol error without a trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


# Every error names the next step. A model that gets only a reason tries variations of the same
# call.
class RoverError(Exception):
    """The base class. `message` says what failed and why, `hint` what to do, and `next_call` is a
    call that would work. `instead`: so would the failed call with these arguments in place of its
    own; None leaves one out."""

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        next_call: Mapping[str, object] | None = None,
        instead: Mapping[str, object] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.next_call = next_call
        self.instead = instead
        if code is not None:
            self.code = code


class UserFixable(RoverError):
    """An error that the caller can fix."""

    code = "invalid"


class NotFound(UserFixable):
    """What was named does not exist, or not for this caller."""

    code = "not_found"


class Conflict(UserFixable):
    """The current state does not allow it."""

    code = "conflict"


class NeedsConsent(UserFixable):
    """A person has to agree first. `question` is what that person is asked, and `digest` identifies
    exactly this question. `askable` is how it may be asked; None where only a line of config.yaml
    or a command at a terminal allows it. `can_do_without`: where no one can be asked, it is left
    out."""

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        code: str,
        question: str,
        digest: str,
        askable: Literal["form", "terminal"] | None,
        can_do_without: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.question = question
        self.digest = digest
        self.askable = askable
        self.can_do_without = can_do_without


class EnvironmentFault(RoverError):
    """Something on this machine is missing or broken. Nothing of the task is lost."""

    code = "environment"
