"""The places in the control plane at which a test kills the daemon
(agent_runner/crashpoints.py)."""

from __future__ import annotations

from enum import StrEnum


class ControlPoint(StrEnum):
    """Each is between two changes of which only the first has been made."""

    ENQUEUING = "enqueuing"
    """recorded in the store, not yet on the queue"""
    CLAIMED = "claimed"
    BASE_LENT = "base-lent"
    """the base is lent, the sandbox is not specified yet"""
    GATEWAY_OPEN = "gateway-open"
    """the gateway serves the attempt, there is no sandbox yet"""
    SANDBOX_UP = "sandbox-up"
    """the sandbox runs, the store does not know yet"""
    SANDBOX_RECORDED = "sandbox-recorded"
    SANDBOX_ENDED = "sandbox-ended"
    """nothing is settled yet"""
    WORK_IMPORTED = "work-imported"
    BRANCH_PUBLISHED = "branch-published"
    """the user has the branch, the task is not COMPLETED"""
    STATUS_CHANGED = "status-changed"
    """the task's status, not yet the attempt's state"""
    ATTEMPT_ENDED = "attempt-ended"
    """the sandbox is not removed yet"""
    SETTLED = "settled"
    """what follows is not enqueued yet"""
    HOLD_PLACED = "hold-placed"
    """the account is closed, the attempt is not over yet"""
    HOLD_UNTIMED = "hold-untimed"
    """the hold has no timer yet"""
    PROBE_CHOSEN = "probe-chosen"
    """chosen, not yet on the queue"""
    ACCOUNT_OPENED = "account-opened"
    """the attempts that wait for it are not released yet"""


class RoundPoint(StrEnum):
    """The same where conflicts of a rebase are resolved."""

    ANSWERS_KEPT = "round-answers-kept"
    """the answers for a stop count, and nothing follows from it yet"""
    PREPARED = "round-prepared"
    """the next stop is in the hub, and the task has not gone there"""
