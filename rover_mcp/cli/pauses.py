"""Shows a pause to a person: since when, why, which account, and when it ends."""

from __future__ import annotations

from datetime import datetime

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.copyable_command import name_of
from rover_mcp.cli.terminal_text import Paint, ago, clean, local_times, when, wrap, zoned
from rover_mcp.domain.obstacles import obstacle_in_short
from rover_mcp.domain.pause_words import (
    closed_account,
    next_resume,
    resumption,
    resumption_in_short,
    sentence,
)


def pause_lines(task: Json, paint: Paint) -> list[str]:
    """Why a task is paused, since when, until when, and how to stop its automatic resume."""
    pause = task.get("pause")
    if not pause:
        return []
    now = paint.now()
    since = f"since {zoned(pause['since'], now)}"
    past = f" ({ago(pause['since'], now)} ago)"
    if paint.fits(f"Paused {since}{past}: {pause['reason']}"):
        since += past
    lines = [f"{paint('Paused', 'yellow', 'bold')} {since}: {paint(pause['reason'], 'bold')}"]
    lines += wrap(clean(for_terminal(pause["message"])), paint.width)
    if account := account_of(pause):
        lines.append(f"  {account}")
    if windows := pause.get("windows"):
        lines += wrap(_sentence(windows), paint.width)
    if place := pause.get("where") or (f"step {pause['step']}" if pause.get("step") else ""):
        lines += wrap(f"in {clean(place)}", paint.width)
    lines += wrap(how_it_resumes(pause, now), paint.width)
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
    return clean(local_times(sentence(text)))


def account_of(pause: Json) -> str:
    """`account anthropic, key from NAME`, or the provider's name where no account is known."""
    names = (clean(pause.get(name) or "") for name in ("account", "provider", "model"))
    return closed_account(*names)


def how_it_resumes(pause: Json, now: datetime) -> str:
    """Whether it resumes automatically, and when."""
    at, automatic = pause.get("retry_at"), bool(pause.get("auto_resume"))
    because = clean(for_terminal(pause.get("waits_because") or ""))
    moment = when(at, now) if at else None
    text = resumption(automatic=automatic, at=moment, because=because, waits_for="you")
    if automatic and at:
        count = next_resume(pause["reason"], pause["retries"], pause["max_retries"])
        return sentence(f"{text}, {count}")
    return sentence(text) + (f" Worth a try from {moment}." if moment else "")


def in_short(pause: Json, now: datetime) -> str:
    """One line of a listing: why, which account, and until when."""
    who = clean(pause.get("account") or pause.get("provider") or "")
    at = when(pause["retry_at"], now) if pause.get("retry_at") else None
    obstacle = obstacle_in_short(pause.get("message") or "")
    until = resumption_in_short(automatic=bool(pause.get("auto_resume")), at=at, obstacle=obstacle)
    return ", ".join(filter(None, [pause["reason"], who, until]))
