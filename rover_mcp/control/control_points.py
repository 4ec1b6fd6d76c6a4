"""The control plane's places at which a test has the daemon die (agent_runner/crashpoints.py)."""

from __future__ import annotations

from enum import StrEnum


class ControlPoint(StrEnum):
    """Each between two things that must both happen, or neither."""

    ENQUEUING = "enqueuing"
    """recorded in the store, not yet on the queue"""
    CLAIMED = "claimed"
    BASE_LENT = "base-lent"
    """the base is packed, its sandbox is still to be specified"""
    DOOR_OPEN = "door-open"
    """the gateway serves it, no sandbox is there"""
    SANDBOX_UP = "sandbox-up"
    """it runs, the store does not know"""
    SANDBOX_RECORDED = "sandbox-recorded"
    SANDBOX_ENDED = "sandbox-ended"
    """nothing of it is settled"""
    WORK_IMPORTED = "work-imported"
    BRANCH_PUBLISHED = "branch-published"
    """the user has the branch, the task is not COMPLETED"""
    STATUS_CHANGED = "status-changed"
    """the task's, not yet the attempt's"""
    ATTEMPT_ENDED = "attempt-ended"
    """its sandbox is still to be removed"""
    SETTLED = "settled"
    """what follows is still to be enqueued"""
    HOLD_PLACED = "hold-placed"
    """the account is closed, the attempt is not over"""
    HOLD_UNTIMED = "hold-untimed"
    """the hold has no timer yet"""
    PROBE_CHOSEN = "probe-chosen"
    """chosen, not yet on the queue"""
    ACCOUNT_OPENED = "account-opened"
    """those who wait for it are still to be let go"""
