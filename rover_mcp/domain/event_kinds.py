"""Every kind of event: its level and its meaning. docs/notifications.md promises these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rover_mcp.domain.task_status import Event

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class EventKind:
    """`level` is that of `notifications/message`. `attention`: always, never, or where the task
    resumes automatically."""

    level: Level
    attention: Literal["yes", "no", "if automatic"]
    meaning: str


WINDOW_WARNING: Final = "task.window_warning"
REBASE: Final = "task.rebased"
HELD: Final = "task.held"
DELETED: Final = "task.deleted"
AGENT_CHANGED: Final = "task.agent_changed"

# Kinds are part of what Rover promises to receivers: they may be added, and never change their
# meaning.
KINDS: Final[Mapping[str, EventKind]] = {
    "task.created": EventKind("info", "no", "it is in the queue"),
    Event.START: EventKind("info", "no", "its first attempt has begun"),
    "task.preparing": EventKind(
        "debug", "no", "its base, image or setup is being prepared; the message says which"
    ),
    "task.sandbox": EventKind("debug", "no", "its sandbox has started"),
    "task.step": EventKind("info", "no", "a step began, ended, failed or was skipped"),
    "task.steps_untold": EventKind("info", "no", "it has so many steps that no more are reported"),
    "task.warning": EventKind("warning", "no", "something went wrong, and the task continues"),
    WINDOW_WARNING: EventKind(
        "warning", "no", "a usage window of its account is nearly used up; once for each window"
    ),
    "task.engine_unreachable": EventKind(
        "info", "no", "the engine does not answer; it is asked again"
    ),
    Event.PAUSE: EventKind("warning", "yes", "it stopped at a checkpoint; `reason` says why"),
    HELD: EventKind("info", "no", "it is paused and waits for its account, which is closed"),
    DELETED: EventKind("info", "no", "it is in the trash, or all that was kept of it was removed"),
    "task.restored": EventKind("info", "no", "it was taken out of the trash"),
    "task.rebuilt": EventKind(
        "info", "no", "its record was lost or damaged, and was rebuilt from its files"
    ),
    "task.deleting": EventKind("info", "no", "its deletion has begun"),
    "task.left": EventKind("info", "no", "its client ended its handle; the task is paused"),
    "task.answered": EventKind("info", "no", "a person was asked what should happen, and chose"),
    Event.RESUME: EventKind("info", "if automatic", "it continues from its checkpoint"),
    Event.RESUME_ITERATION: EventKind("info", "if automatic", "the same, in a later iteration"),
    Event.RESTART: EventKind("info", "no", "it starts over from its base"),
    "task.resume_failed": EventKind(
        "error", "yes", "it could not be resumed; its status is unchanged"
    ),
    AGENT_CHANGED: EventKind("info", "yes", "another agent continues"),
    Event.COMPLETE: EventKind("info", "yes", "it is done; its branch is there"),
    Event.FAIL: EventKind("error", "yes", "a step failed, or nothing could be started"),
    Event.CANCEL: EventKind("info", "yes", "it was cancelled"),
    Event.ITERATE: EventKind("info", "no", "it has new instructions"),
    Event.NEXT_ROUND: EventKind(
        "info", "no", "it continues with the next conflicts of a rebase, or tries the same again"
    ),
    REBASE: EventKind("info", "no", "its branch was rebased; `onto` is its new base"),
    Event.MERGE: EventKind("info", "no", "its branch was merged"),
    Event.PUSH: EventKind("info", "no", "its branch was pushed"),
}


def level_of(kind: str) -> Level:
    """The level of an event."""
    return KINDS[kind].level if kind in KINDS else "info"
