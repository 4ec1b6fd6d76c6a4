"""How a pause is put into words. Pure, on the standard library alone.

Results, events, notifications, forms, commits and the command line all take their words from here.
They differ in how times are written for their reader and in who is spoken to, and in nothing else.
"""

from __future__ import annotations

from typing import Final

TIME_OR_MONEY: Final = frozenset({"credits", "usage_window", "rate_limit"})
"""Reasons that lie with an account. Automatic resumes are not counted against a maximum there,
because time or money ends such a pause, and trying less often would not."""


def paused_for(reason: str, step: str | None = None) -> str:
    """`paused (credits, in step build)`"""
    return f"paused ({reason}{f', in step {step}' if step else ''})"


def closed_account(account: str | None, provider: str | None, model: str | None) -> str:
    """Which account, or else which provider, a pause is about; empty where it is about neither."""
    if not account:
        return f"provider {provider}" if provider else ""
    return f"account {account}{f', {model} only' if model else ''}"


def next_resume(reason: str, retries: int, most: int) -> str:
    """`automatic resume 2 of 5`: the one that comes next, and of how many where they end."""
    count = f"automatic resume {retries + 1}"
    return count if reason in TIME_OR_MONEY else f"{count} of {most}"


def resumption(
    *, automatic: bool, at: str | None, because: str | None, waits_for: str | None = None
) -> str:
    """Whether a task resumes automatically, and when, as a clause. `at` is the time as its reader
    writes it, `because` what the task waits for, and `waits_for` who has to act: a person reads
    "you", a model the tool to call."""
    if automatic and at:
        return f"it resumes automatically at {at}"
    whom = f" for {waits_for}" if waits_for and not automatic else ""
    return f"it waits{whom}: {because or 'nothing is lost'}"


def resumption_in_short(*, automatic: bool, at: str | None, obstacle: str | None) -> str:
    """The same for a line of a list. `obstacle` is what is in the task's way, where that is
    watched for; else it waits for a credential."""
    if not automatic:
        return "waits for you"
    return f"resumes at {at}" if at else obstacle or "waits for a credential"


def sentence(text: str) -> str:
    """A clause as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."
