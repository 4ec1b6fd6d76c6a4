"""What the end of an attempt means for its account: closed, open again, or neither."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from agent_runner.models import Pause, PauseReason, RunState
from rover_mcp.control.accounts import (
    NoCredential,
    Use,
    Wait,
    choose_agent,
    closed_longer,
    closed_to,
    confirms,
    hold_after,
    keeps_its_time,
    limit_of,
    refuses,
    report_of,
)
from rover_mcp.control.attempt_context import (
    AttemptContext,
    now,
)
from rover_mcp.control.decide import (
    Decision,
    Finish,
    PauseFor,
    backoff,
)
from rover_mcp.control.needed_models import chose_itself
from rover_mcp.store.account_windows import in_words
from rover_mcp.store.records import HoldRow, TaskRow
from rover_mcp.store.transitions import AccountRefusal
from rover_mcp.tasks.pause_view import CLOSED, awaits_credential

OF_AN_ACCOUNT = frozenset(PauseReason) - {
    PauseReason.INTERRUPTED,
    PauseReason.REQUESTED,
    PauseReason.BUDGET,
    PauseReason.NEEDS_LOOK,
}
"""Reasons that come from a provider, so that the pause names the account."""


class AccountVerdicts:
    """Judges the end of an attempt for its account."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context

    def closing(
        self, task: TaskRow, attempt: int, decision: PauseFor, state: RunState
    ) -> tuple[PauseFor, AccountRefusal | None]:
        """The decision with its account named, and the change of the account's hold. If another
        agent may take over and its account is open, it continues at once."""
        account = None
        if decision.pause.reason in OF_AN_ACCOUNT:
            account = self._account_of(task, attempt, decision.pause)
        full = self._windows(account) if account and decision.pause.reason in CLOSED else None
        pause = decision.pause.model_copy(update={"account": account, "windows": full})
        decision = PauseFor(pause, decision.retry_at)
        if not refuses(pause):
            return decision, None
        # The time in `pause` can be one that Rover computed; the journal has the provider's.
        reported = (state.pause or pause).model_copy(update={"account": account})
        when, random = now(), self._context.uniform()
        retry = self._context.settings.retry
        default_of = chose_itself(self._context.settings.home, task, reported)

        def refused(hold: HoldRow | None) -> HoldRow:
            return hold_after(hold, reported, (task.id, attempt), retry, when, random, default_of)

        until = decision.retry_at or when + backoff(reported.reason, 0, retry, random)
        report = report_of(reported, task.id, until, when)
        choice, at = self._choice_without(task, attempt, reported, until)
        if at is not None and decision.retry_at is not None:
            decision = PauseFor(pause.model_copy(update={"retry_at": at}), at)
        own_time = at is not None or keeps_its_time(reported, when)
        return decision, AccountRefusal(
            limit_of(reported), refused, waits=not own_time, report=report,
            waits_for=choice.limit if isinstance(choice, Wait) else limit_of(reported),
            confirmed=lambda known: report is None
            or confirms(report, known.others, known.answered_at, retry),
        )  # fmt: skip

    def awaits(self, task: TaskRow, attempt: int, decision: PauseFor, retries: int) -> bool:
        """Whether the task resumes automatically with another credential, or when its obstacle is
        gone. A refused credential is recorded first; with it the task would be refused again."""
        if self._context.is_watched(decision.pause, retries):
            return self._context.resumes_by_itself(task)
        if decision.pause.reason is not PauseReason.AUTH:
            return False
        keys = self._context.gateway.refused_keys(task.id, attempt, task.agent)
        refused = list(dict.fromkeys([*(task.refused_keys or ()), *keys]))
        if refused:
            self._context.store.tasks.update(task.id, refused_keys=refused)
        fresh = replace(task, refused_keys=refused)
        return awaits_credential(fresh, decision.pause) and self._context.resumes_by_itself(task)

    def record_verdict(
        self, task: TaskRow, attempt: int, decision: Decision, state: RunState
    ) -> None:
        """Open the account of a probe that completed or whose model answered. After any other end
        the next probe decides."""
        before = task.run_state.usage.output_tokens if task.run_state else 0
        answered = state.usage.output_tokens > before
        if task.refused_keys and answered and not _is_auth(decision):
            self._context.store.tasks.update(task.id, refused_keys=None)
        if task.account is not None and (answered or isinstance(decision, Finish)):
            probe = (task.id, attempt)
            tried = (
                self._context.store.holds.probed_by(probe) if isinstance(decision, Finish) else []
            )
            models = [limit.model for limit in tried if limit.model is not None]
            self._context.store.holds.open(task.account, probe, models)

    def _windows(self, account: str) -> str | None:
        """How full the windows of an account are, in words."""
        when = now().timestamp()
        return in_words(self._context.store.windows.of(account, when), when)

    def _account_of(self, task: TaskRow, attempt: int, pause: Pause) -> str | None:
        """The account that a pause concerns: that of the task's agent, unless a step with another
        provider's agent paused."""
        used = (
            self._context.gateway.used(task.id, attempt, pause.provider) if pause.provider else None
        )
        return used or task.account

    def _choice_without(
        self, task: TaskRow, attempt: int, reported: Pause, until: datetime
    ) -> tuple[Use | Wait | NoCredential, datetime | None]:
        """The agent and account with which the task can continue while the limit of the pause is
        closed, or the limit that ends first. The time is given if it is this task's own: now, or
        when a limit ends that is closed for it alone."""
        holds = {hold.account: hold for hold in self._context.store.holds.all()}
        began, ends = now().timestamp(), until.timestamp()
        closed = HoldRow(limit_of(reported), None, "", "", began, ends, 1)
        own = closed_to(task.id, self._context.store.holds.reports(task.id), began)
        shut = {**closed_longer(holds, own), closed.account: closed}
        paused = replace(task, pause=reported)
        choice = choose_agent(
            task.agents or [task.agent],
            lambda agent: self._context.options(paused, attempt, agent),
            shut,
            (task.id, attempt + 1),
            began,
        )
        if isinstance(choice, Wait) and shut[choice.limit] is own.get(choice.limit):
            return choice, datetime.fromtimestamp(shut[choice.limit].until, UTC)
        return choice, now() if isinstance(choice, Use) else None


def _is_auth(decision: Decision) -> bool:
    return isinstance(decision, PauseFor) and decision.pause.reason is PauseReason.AUTH
