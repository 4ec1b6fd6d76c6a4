"""What a person sees of a pause: since when, why, which account, when it ends (D10, H6, K7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rover_mcp.cli.calls import name_of
from rover_mcp.cli.text import Paint, ago, clean, clock, when, wrap

Json = dict[str, Any]

ENDLESS = ("rate_limit", "usage_window", "credits")
"""Reasons after which tries do not end: time or money ends them."""


def pause_lines(task: Json, paint: Paint) -> list[str]:
    """Why it is paused, since when, until when, and how to stop that."""
    pause = task.get("pause")
    if not pause:
        return []
    now = paint.now()
    since = f"since {clock(pause['since'], now)} ({ago(pause['since'], now)} ago)"
    lines = [f"{paint('Paused', 'yellow', 'bold')} {since}: {paint(pause['reason'], 'bold')}"]
    lines += wrap(clean(pause["message"]), paint.width)
    if account := account_of(pause):
        lines.append(f"  {account}")
    if place := pause.get("where") or (f"step {pause['step']}" if pause.get("step") else ""):
        lines += wrap(f"in {clean(place)}", paint.width)
    lines += wrap(goes_on(pause, now), paint.width)
    if pause.get("auto_resume"):
        lines += wrap(
            f"To switch that off: rover auto-resume off {name_of(task)} "
            "(--project, --all: for all of them)",
            paint.width,
        )
    return lines


def account_of(pause: Json) -> str:
    """`account anthropic-1a2b3c4d`, or else the provider's name."""
    if pause.get("account"):
        model = f", {clean(pause['model'])} only" if pause.get("model") else ""
        return f"account {clean(pause['account'])}{model}"
    return f"provider {clean(pause['provider'])}" if pause.get("provider") else ""


def goes_on(pause: Json, now: datetime) -> str:
    """Whether it goes on by itself, and when."""
    if pause.get("auto_resume") and pause.get("retry_at"):
        endless = pause["reason"] in ENDLESS
        count = f"{pause['retries'] + 1}" + ("" if endless else f" of {pause['max_retries']}")
        at = when(pause["retry_at"], now)
        return f"It goes on by itself at {at}, automatic resume {count}."
    if pause.get("auto_resume"):
        return f"It waits: {clean(pause.get('waits_because') or 'nothing is lost')}."
    later = f" Worth a try from {when(pause['retry_at'], now)}." if pause.get("retry_at") else ""
    return f"It waits for you: {clean(pause.get('waits_because') or 'nothing is lost')}.{later}"


def in_short(pause: Json, now: datetime) -> str:
    """For one line of a listing: why, whose, and until when (H6)."""
    who = clean(pause.get("account") or pause.get("provider") or "")
    on = pause.get("auto_resume") and pause.get("retry_at")
    until = f"goes on {when(pause['retry_at'], now)}" if on else "waits for you"
    if pause.get("auto_resume") and not on:
        until = "waits for a credential"
    return ", ".join(filter(None, [pause["reason"], who, until]))
