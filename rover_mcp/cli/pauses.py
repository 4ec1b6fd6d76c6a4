"""What a person sees of a pause: since when, why, which account, and when it ends."""

from __future__ import annotations

from datetime import datetime

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import spoken
from rover_mcp.cli.copyable_command import name_of
from rover_mcp.cli.terminal_text import Paint, ago, clean, local_times, when, wrap, zoned

ENDLESS = ("rate_limit", "usage_window", "credits")
"""Reasons after which tries do not end: time or money ends them."""


def pause_lines(task: Json, paint: Paint) -> list[str]:
    """Why it is paused, since when, until when, and how to stop that."""
    pause = task.get("pause")
    if not pause:
        return []
    now = paint.now()
    since = f"since {zoned(pause['since'], now)}"
    past = f" ({ago(pause['since'], now)} ago)"
    if paint.fits(f"Paused {since}{past}: {pause['reason']}"):
        since += past
    lines = [f"{paint('Paused', 'yellow', 'bold')} {since}: {paint(pause['reason'], 'bold')}"]
    lines += wrap(clean(spoken(pause["message"])), paint.width)
    if account := account_of(pause):
        lines.append(f"  {account}")
    if windows := pause.get("windows"):
        lines += wrap(_sentence(windows), paint.width)
    if place := pause.get("where") or (f"step {pause['step']}" if pause.get("step") else ""):
        lines += wrap(f"in {clean(place)}", paint.width)
    lines += wrap(goes_on(pause, now), paint.width)
    if log_in := pause.get("log_in"):
        lines += wrap(_sentence(log_in), paint.width)
    if pause.get("auto_resume"):
        lines += wrap(
            f"To switch that off: rover auto-resume off {name_of(task)} "
            "(--project, --all: for all of them)",
            paint.width,
        )
    return lines


def _sentence(text: str) -> str:
    return clean(local_times(f"{text[:1].upper()}{text[1:]}."))


def account_of(pause: Json) -> str:
    """`account anthropic, key from NAME`, or else the provider's name."""
    if pause.get("account"):
        model = f", {clean(pause['model'])} only" if pause.get("model") else ""
        return f"account {clean(pause['account'])}{model}"
    return f"provider {clean(pause['provider'])}" if pause.get("provider") else ""


def goes_on(pause: Json, now: datetime) -> str:
    """Whether it resumes automatically, and when."""
    waits = clean(spoken(pause.get("waits_because") or "nothing is lost"))
    if pause.get("auto_resume") and pause.get("retry_at"):
        endless = pause["reason"] in ENDLESS
        count = f"{pause['retries'] + 1}" + ("" if endless else f" of {pause['max_retries']}")
        at = when(pause["retry_at"], now)
        return f"It resumes automatically at {at}, automatic resume {count}."
    if pause.get("auto_resume"):
        return f"It waits: {waits}."
    later = f" Worth a try from {when(pause['retry_at'], now)}." if pause.get("retry_at") else ""
    return f"It waits for you: {waits}.{later}"


def _waits_for(pause: Json) -> str:
    if pause["reason"] == "auth":
        return "waits for a credential"
    return "continues once its way is clear"


def in_short(pause: Json, now: datetime) -> str:
    """For one line of a listing: why, which account, and until when."""
    who = clean(pause.get("account") or pause.get("provider") or "")
    on = pause.get("auto_resume") and pause.get("retry_at")
    until = f"continues {when(pause['retry_at'], now)}" if on else "waits for you"
    if pause.get("auto_resume") and not on:
        until = _waits_for(pause)
    return ", ".join(filter(None, [pause["reason"], who, until]))
