"""Operations that must not be left half done: kinds, states, and where a test kills the daemon."""

from __future__ import annotations

from enum import StrEnum


class OperationKind(StrEnum):
    """What is done: in the repository, or to all that is kept of a task."""

    MERGE = "merge"
    PUSH = "push"
    CHECKOUT = "checkout"
    REBASE = "rebase"
    DELETE = "delete"
    """a task goes into the trash"""
    RESTORE = "restore"
    """it comes back"""
    PURGE = "purge"
    """all that is kept of it is removed"""
    COLLECT = "collect"
    """what can be made again of a finished task is removed"""
    CHOOSE = "choose"
    """a task of a race stays, and the others go into the trash"""


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


class DeletionPoint(StrEnum):
    """The same for deleting a task and for giving it back."""

    BRANCH_ASIDE = "deletion-branch-aside"
    """its branch is put aside, the task is not in the trash yet"""
    CANCELLED = "deletion-cancelled"
    """a task that was paused has ended, and is not in the trash yet"""
    PUT_ASIDE = "deletion-put-aside"
    """it is in the trash, the row is still open"""
    BRANCH_BACK = "deletion-branch-back"
    """its branch is back, the task is still in the trash"""
    GIVEN_BACK = "deletion-given-back"
    """it is out of the trash, the row is still open"""
    FILES_REMOVED = "deletion-files-removed"
    """its files and snapshots are gone, its record is not"""
    RECORD_REMOVED = "deletion-record-removed"
    """its record is gone, the row is still open"""


class CollectPoint(StrEnum):
    """The same for freeing disk space."""

    LOOKED_AGAIN = "collect-looked-again"
    """it can still go, and is still there"""
    FREED = "collect-freed"
    """it is gone, the row is still open"""
