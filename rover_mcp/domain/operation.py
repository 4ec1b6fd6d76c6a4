"""Operations in users' repositories: kinds, states, and where a test kills the daemon."""

from __future__ import annotations

from enum import StrEnum


class OperationKind(StrEnum):
    """What an operation does in the repository."""

    MERGE = "merge"
    PUSH = "push"
    CHECKOUT = "checkout"
    REBASE = "rebase"


class OperationState(StrEnum):
    """Whether an operation has ended, and how."""

    OPEN = "open"
    DONE = "done"
    UNDONE = "undone"
    """it failed or was cut off, and the repository is as it was before"""


class OperationPoint(StrEnum):
    """The places in an operation at which a test kills the daemon; see
    agent_runner/crashpoints.py."""

    RECORDED = "operation-recorded"
    """the row is written, nothing is done yet"""
    LOCK_TAKEN = "operation-lock-taken"
    """the user's index is locked, no file has changed"""
    FILES_CHANGED = "operation-files-changed"
    """the work tree holds the new commit's files, the branch is where it was"""
    REFERENCE_MOVED = "operation-reference-moved"
    """the branch is at the new commit, the index is still the old one"""
    CARRIED_OUT = "operation-carried-out"
    """all is done in the repository, the task's record is the old one"""
    STATUS_CHANGED = "operation-status-changed"
    """the task's record is the new one, the row is still open"""
