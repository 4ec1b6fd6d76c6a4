"""The explanation of one error: reason, rule, account, plan and what a user sees of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent_runner.agents.headless import shorten
from agent_runner.classify.verdict import Verdict, classify
from agent_runner.models import Grounds
from rover_mcp.config.settings import RetrySettings
from rover_mcp.explain.cases import BadCase, Case, Parsed
from rover_mcp.explain.readers import read_failures
from rover_mcp.explain.retry_schedule import SHOWN, RetrySchedule, plan
from rover_mcp.tasks.pause_view import CLOSED, NEVER_BY_ITSELF, WHAT_TO_DO

SUCCESS, FAILURE = "success", "failure"

_HELD = {
    Grounds.PROVIDER: "closed for every task of the account, until a task gets through",
    Grounds.WORDS: "closed for this task; for all tasks once the answer to another says the same",
    Grounds.AGENT: "closed for this task alone: only the agent says so",
}


@dataclass(frozen=True)
class Rejected:
    """A line that could not be explained, and why."""

    line: int
    error: str

    def as_json(self) -> dict[str, Any]:
        return {"line": self.line, "error": self.error}


@dataclass(frozen=True)
class Explained:
    """What an error means. `verdict` and `plan` are None where the agent's run succeeded."""

    line: int
    case: Case
    verdict: Verdict | None
    plan: RetrySchedule | None
    ignored: tuple[str, ...] = field(default=())

    @property
    def reason(self) -> str:
        """The pause's reason, or `failure`, or `success`."""
        if self.verdict is None:
            return SUCCESS
        return str(self.verdict.reason) if self.verdict.reason else FAILURE

    @property
    def account(self) -> str | None:
        """What becomes of the account, or None where it stays open."""
        verdict = self.verdict
        return _HELD[verdict.grounds] if verdict and verdict.reason in CLOSED else None

    def as_json(self) -> dict[str, Any]:
        """One line of `rover explain --json`."""
        verdict, plan = self.verdict, self.plan
        return {
            "line": self.line,
            "id": self.case.id,
            "reason": self.reason,
            "rule": verdict.rule if verdict else None,
            "retry_at": _iso(verdict.retry_at) if verdict and verdict.retry_at else None,
            "plan": " ".join(plan_sentences(self)),
            "tries_in_place": list(plan.in_place) if plan else [],
            "resumes": [_iso(at) for at in plan.resumes[:SHOWN]] if plan else [],
            "ends_at": _iso(plan.resumes[-1]) if plan and plan.resumes and plan.ends else None,
            "endless": bool(plan and not plan.ends),
            "account": self.account,
            "message": verdict.message if verdict else "",
            "ignored": list(self.ignored),
        }

    def shown_pause(self) -> dict[str, Any] | None:
        """The pause as a task's view has it; None where the task does not pause."""
        verdict, plan = self.verdict, self.plan
        if verdict is None or verdict.reason is None or plan is None:
            return None
        at = plan.resumes[0] if plan.resumes else verdict.retry_at
        return {
            "reason": str(verdict.reason),
            "message": verdict.message,
            "since": _iso(plan.paused_at),
            "provider": verdict.provider,
            "retry_at": _iso(at) if at else None,
            "auto_resume": bool(plan.resumes),
            "waits_because": NEVER_BY_ITSELF.get(verdict.reason),
            "retries": 0,
            "max_retries": RetrySettings().max_auto_retries,
        }


def explain(parsed: Parsed) -> Explained | Rejected:
    """One error that was parsed."""
    line, case, ignored = parsed
    if isinstance(case, BadCase):
        return Rejected(line, str(case))
    try:
        failures = read_failures(case)
    except BadCase as error:
        return Rejected(line, str(error))
    if not failures:
        return Explained(line, case, None, None, ignored)
    verdict = classify(failures, case.now)
    return Explained(line, case, verdict, plan(verdict, case.now), ignored)


def plan_sentences(explained: Explained) -> Iterator[str]:
    """The plan up to where it ends, in words."""
    verdict, plan = explained.verdict, explained.plan
    if verdict is None or plan is None:
        yield "The step succeeded: nothing is retried."
        return
    if plan.in_place:
        waits = " and ".join(f"{wait:g} s" for wait in plan.in_place)
        yield f"Tried again in place after {waits}."
    if verdict.reason is None:
        yield "The task fails at once: waiting does not help."
        return
    if not plan.resumes:
        why = NEVER_BY_ITSELF.get(verdict.reason, "automatic resumes are used up")
        yield f"Paused until a person acts: {why}. Then: {WHAT_TO_DO[verdict.reason]}."
        return
    yield f"Paused; resumes at {', '.join(_clock(at) for at in plan.resumes[:SHOWN])}" + (
        f" and {len(plan.resumes) - SHOWN} times more."
        if plan.ends and len(plan.resumes) > SHOWN
        else "."
        if plan.ends
        else " and so on, without an end."
    )
    if plan.ends:
        after = (plan.resumes[-1] - plan.paused_at).total_seconds() / 3600
        yield f"Ends {after:.1f} h after the pause; then it waits for resume_task."


def heading(explained: Explained) -> str:
    """The error itself in one line, for people."""
    case = explained.case
    status = f"{case.status} " if case.status else ""
    return shorten(f"{case.id + ': ' if case.id else ''}{status}{case.text}")


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
