"""How a pause is shown: why, since when, whether it ends automatically, what to do. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent_runner.agents import agent_provider
from agent_runner.models import Budget, Pause, PauseReason, RunState, Usage
from agent_runner.no_space import FREE_FIRST
from agent_runner.worktree.disk_watch import RAISE_FIRST
from rover_mcp.config.user_maximum import budget_line
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.obstacles import CLEARED_FIRST, Obstacle, is_watched, obstacle_of
from rover_mcp.domain.pause_words import TIME_OR_MONEY
from rover_mcp.domain.usage_window import time_of
from rover_mcp.store.records import EVERYWHERE, TaskRow, WindowRow
from rover_mcp.tasks.account_names import account_name
from rover_mcp.tasks.quoted_text import printable, quoted
from rover_mcp.tasks.step_outline import Outline, of_project
from rover_mcp.tasks.view_models import BudgetView, NextAction, PauseView

NO_PRICE = "no price is known for"
"""Part of what the gateway says where a budget in US dollars cannot be enforced."""
OTHER_LIMIT = "the limit or disk in the message has to be raised or freed first"
TOKENS_OFFERED = 1_000_000

WHAT_TO_DO = {
    PauseReason.CREDITS: "add credits to the account, then resume",
    PauseReason.USAGE_WINDOW: "resume once the usage window is open again",
    PauseReason.RATE_LIMIT: "resume once the provider allows it",
    PauseReason.TRANSIENT: "resume to try again now",
    PauseReason.AUTH: "supply or correct the credential that the message names",
    PauseReason.BUDGET: "resume with a larger budget",
    PauseReason.REQUESTED: "resume when you want it to continue",
    PauseReason.INTERRUPTED: "resume to continue from the checkpoint now",
    PauseReason.NEEDS_LOOK: "deliver the work as it is, once you have looked at the diff",
}
NEVER_BY_ITSELF = {
    PauseReason.AUTH: "a credential has to be corrected first",
    PauseReason.BUDGET: "the budget has to be raised first",
    PauseReason.REQUESTED: "it was paused on request",
    PauseReason.NEEDS_LOOK: "a person has to look at the diff and accept it first",
}
"""The reasons that only a person can end, and why."""

NOT_RESUMABLE = "not_resumable"
"""The error code for a task that cannot be resumed."""
MOST_REFUSED = 5
"""How many credentials may be refused one after the other before a task waits for a person."""

CLOSED = frozenset(PauseReason(reason) for reason in TIME_OR_MONEY)
"""Reasons that lie with an account: another agent may be able to continue."""


@dataclass(frozen=True)
class Policy:
    """What decides whether a paused task resumes automatically, and who could take over.

    `off`: where a person switched automatic resumption off, projects' ids and EVERYWHERE;
    `config_off`: config.yaml did.
    """

    off: frozenset[str] = frozenset()
    config_off: bool = False
    max_auto_retries: int = 5
    agents: tuple[str, ...] = ()
    windows: tuple[WindowRow, ...] = ()
    """the usage windows of every account, as far as they are known"""
    models: tuple[str, ...] = ()
    """other models that the task's own agent could continue with"""
    account_name: Callable[[str], str] = account_name
    """what an account is called for people"""
    log_in: Callable[[TaskRow], str | None] = lambda _: None
    """what to say of a login that expires while a task waits"""
    most: Budget | None = None
    """the user's own budget, which a call does not exceed"""

    def off_for(self, project_id: str | None) -> list[str]:
        """Where automatic resumes are off for every task of a project, or for all tasks, in
        words."""
        places = (
            (project_id in self.off, "for this project"),
            (EVERYWHERE in self.off, "for all tasks"),
            (self.config_off, "in config.yaml"),
        )
        return [place for off, place in places if off]


def pause_view(
    task: TaskRow, state: RunState | None, now: float, policy: Policy
) -> PauseView | None:
    """The pause of a task; None where it is not paused."""
    p = task.pause
    if p is None:
        return None
    off = switched_off(task, policy)
    awaited = _awaited(task, p, policy) if not off else None
    by_itself = awaited is not None or (task.retry_at is not None and not off)
    at = time_of(task.retry_at) if task.retry_at else p.retry_at
    log_in = policy.log_in(task) if by_itself and awaited is None else None
    return PauseView(
        reason=p.reason,
        message=quoted(p.message),
        since=time_of(task.paused_at or p.since.timestamp()),
        step=p.step,
        where=_where(task, state),
        provider=p.provider,
        account=policy.account_name(p.account) if p.account else None,
        model=p.model,
        windows=printable(p.windows) if p.windows else None,
        log_in=printable(log_in) if log_in else None,
        retry_at=at,
        retry_in_s=max(0, round(at.timestamp() - now)) if at else None,
        auto_resume=by_itself,
        waits_because=awaited
        or (None if by_itself else _waits_because(task, p.reason, off, policy)),
        retries=task.auto_retries,
        max_retries=policy.max_auto_retries,
    )


def _awaited(task: TaskRow, pause: Pause, policy: Policy) -> str | None:
    """What has to exist before the task resumes automatically, where Rover watches for it."""
    if awaits_credential(task, pause):
        return _for_credential(task, pause)
    obstacle = obstacle_of(pause)
    if obstacle and is_watched(pause, task.auto_retries, policy.max_auto_retries):
        return CLEARED_FIRST[obstacle]
    return None


def _where(task: TaskRow, state: RunState | None) -> str | None:
    outline = Outline(state.steps, theirs=of_project(task)) if state else None
    return printable(outline.where() or "", 300) or None if outline else None


def awaits_credential(task: TaskRow, pause: Pause) -> bool:
    """Whether Rover watches for a credential for the task, and resumes it with one that the
    provider has not refused. After too many refusals the task waits for a person."""
    return (
        pause.reason is PauseReason.AUTH
        and agent_provider(task.agent, task.model) is not None
        and len(task.refused_keys or ()) < MOST_REFUSED
    )


def _for_credential(task: TaskRow, pause: Pause) -> str:
    another = "another credential" if task.refused_keys else "a credential"
    whose = f" for {pause.provider}" if pause.provider else ""
    return f"{another}{whose} has to be there first; it then resumes automatically"


def switched_off(task: TaskRow, policy: Policy) -> list[str]:
    """Where a task's automatic resume is switched off, in words."""
    return [*([] if task.auto_resume else ["for this task"]), *policy.off_for(task.project_id)]


def _waits_because(task: TaskRow, reason: PauseReason, off: list[str], policy: Policy) -> str:
    switched = f", and automatic resume is switched off {' and '.join(off)}" if off else ""
    if _is_of_disk(task):
        return f"{OTHER_LIMIT}{switched if obstacle_of(task.pause) else ''}"
    if off and reason is PauseReason.AUTH:
        return f"{NEVER_BY_ITSELF[reason]}{switched}"
    if reason in NEVER_BY_ITSELF:
        return NEVER_BY_ITSELF[reason]
    if off:
        return f"automatic resume is switched off {' and '.join(off)}"
    if task.auto_retries >= policy.max_auto_retries:
        return f"it {exhausted(task.auto_retries)}"
    return "no time for it is set: resume_task is needed"


def left_to_itself(pause: PauseView | None, *, changes: bool) -> str:
    """The answer to a resume that is to happen later, at the reset. `changes`: the call also gives
    another agent or model, or a larger budget.

    Raises:
        Conflict: the task would not resume automatically, or not with these changes.
    """
    if pause is None:
        raise _not_later("at_reset is for a paused task; without it, the task resumes now")
    if pause.auto_resume and pause.retry_at is None:
        return str(pause.waits_because)
    if not pause.auto_resume:
        off = "automatic resume is switched off" in (pause.waits_because or "")
        or_else = "set_auto_resume with enabled true switches that on, and " if off else ""
        why = f"it does not resume automatically: {pause.waits_because}"
        raise _not_later(f"{why}; {or_else}resume_task without at_reset starts it now")
    if changes:
        raise _not_later(
            "at_reset cannot be combined with another agent, model or budget; nothing was changed"
        )
    return "it resumes automatically at retry_at"


def _not_later(why: str) -> Conflict:
    return Conflict(why, code=NOT_RESUMABLE, instead={"when": None})


def exhausted(retries: int) -> str:
    """What is shown when a task has resumed automatically as often as it may."""
    return f"resumed automatically {times(retries)}; resume_task is needed"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def resume_action(
    task: TaskRow, state: RunState | None = None, most: Budget | None = None
) -> NextAction:
    """The call that lets the task continue; after the end of a budget, with a larger one. Where
    that would be more than `most`, it is what is still allowed, or the line of config.yaml that the
    user has to change first."""
    arguments: dict[str, object] = {"task": task.id}
    reason = task.pause.reason if task.pause else None
    why = WHAT_TO_DO[reason] if reason else "continue from the checkpoint"
    if _is_of_disk(task):
        full = task.pause is not None and FREE_FIRST in task.pause.message
        why = FREE_FIRST if full else RAISE_FIRST
    elif obstacle_of(task.pause) is Obstacle.BRANCH:
        why = "deliver the work, once its branch is free"
    elif reason is PauseReason.NEEDS_LOOK:
        # A task that waits to be looked at may have used up its budget too, and would pause again
        # at once.
        arguments |= {"accept": True, **_enough(task, state, most)}
    elif reason is PauseReason.BUDGET and task.budget is not None:
        if task.pause and NO_PRICE in task.pause.message:
            more = Budget(tokens=spent(state).tokens + TOKENS_OFFERED)
            why = "resume with a budget in tokens: its model has no price that is known"
        else:
            more = _more(task.budget, spent(state))
        if line := _line_first(more, most, spent(state)):
            why = f"the user allows more in config.yaml first: {line}"
        else:
            arguments |= _within(more, most)
    else:
        arguments |= _enough(task, state, most)
    return NextAction(tool="resume_task", arguments=arguments, why=why)


def _enough(task: TaskRow, state: RunState | None, most: Budget | None) -> dict[str, object]:
    """The arguments of a larger budget for a task that stopped for another reason but has used up
    its budget, too, and where the user's own budget allows more."""
    usage = spent(state)
    if task.budget is None or task.budget.used_up(usage) is None:
        return {}
    more = _more(task.budget, usage)
    return {} if _line_first(more, most, usage) else _within(more, most)


def _is_of_disk(task: TaskRow) -> bool:
    """Whether a disk is full, or a limit was reached that is not a budget."""
    pause = task.pause
    if pause is None or FREE_FIRST in pause.message:
        return pause is not None
    return pause.reason is PauseReason.BUDGET and RAISE_FIRST in pause.message


def pause_actions(task: TaskRow, state: RunState | None, policy: Policy) -> list[NextAction]:
    """What can be done about a pause, the first thing first. Each is a call that works."""
    actions = [resume_action(task, state, policy.most)]
    reason = task.pause.reason if task.pause else None
    if reason in CLOSED:
        enough = _enough(task, state, policy.most)
        actions += _other_models(task, policy, enough)
        actions += _other_agents(task, policy, enough)
    if reason is PauseReason.AUTH or reason not in NEVER_BY_ITSELF:
        actions += _switches(task, policy)
    return actions


def _other_models(task: TaskRow, policy: Policy, enough: dict[str, object]) -> Iterator[NextAction]:
    for model in policy.models:
        yield NextAction(
            tool="resume_task",
            arguments={"task": task.id, "model": model, **enough},
            why=f"continue at once with {model}, to which the account is open",
        )


def _other_agents(task: TaskRow, policy: Policy, enough: dict[str, object]) -> Iterator[NextAction]:
    for agent in policy.agents:
        if agent not in (task.agent, *(task.agents or ())):
            yield NextAction(
                tool="resume_task",
                arguments={"task": task.id, "agent": agent, **enough},
                why=f"let {agent} continue with the same work",
            )


def _switches(task: TaskRow, policy: Policy) -> Iterator[NextAction]:
    if not switched_off(task, policy):
        yield NextAction(
            tool="set_auto_resume",
            arguments={"enabled": False, "task": task.id},
            why="do not resume it automatically; with scope project or all, none of those tasks",
        )
        return
    scopes = (
        (not task.auto_resume, {"task": task.id}, "this task resume automatically"),
        (
            task.project_id in policy.off,
            {"scope": "project", "repo_path": task.project_path},
            "this project's tasks resume automatically",
        ),
        (EVERYWHERE in policy.off, {"scope": "all"}, "all tasks resume automatically"),
    )
    for off, scope, whose in scopes:
        if off:
            yield NextAction(
                tool="set_auto_resume",
                arguments={"enabled": True, **scope},
                why=f"let {whose} again",
            )


# Budget


def spent(state: RunState | None) -> Usage:
    return state.usage if state else Usage()


def budget_view(task: TaskRow, state: RunState | None) -> BudgetView | None:
    if task.budget is None:
        return None
    usage = spent(state)
    return BudgetView(
        usd=task.budget.usd,
        spent_usd=usage.cost_usd,
        tokens=task.budget.tokens,
        spent_tokens=usage.tokens,
    )


def _more(budget: Budget, usage: Usage) -> Budget:
    """A budget that is larger by its own amount, for each limit that is used up."""
    usd, cost = budget.usd, usage.cost_usd or 0.0
    larger = Budget()
    if usd is not None and (budget.ends_money(usage) or budget.tokens is None):
        # Rounded up to a cent, and rounded before that: 0.1 + 0.2 would otherwise cost a cent more.
        cents = round((max(usd, cost) + usd) * 100, 6)
        larger = Budget(usd=math.ceil(cents) / 100)
    if budget.tokens is not None and (budget.ends_tokens(usage) or larger.usd is None):
        more = max(budget.tokens, usage.tokens) + budget.tokens
        larger = larger.model_copy(update={"tokens": more})
    return larger


def _line_first(more: Budget, most: Budget | None, usage: Usage) -> str | None:
    """The line that config.yaml needs before a larger budget helps; None where it already allows
    one."""
    most = most or Budget()
    no_usd = more.usd and most.ends_money(usage)
    no_tokens = more.tokens and most.ends_tokens(usage)
    if not no_usd and not no_tokens:
        return None
    return budget_line(
        usd=max(more.usd or 0, most.usd) if most.usd is not None else None,
        tokens=max(more.tokens or 0, most.tokens) if most.tokens is not None else None,
    )


def _within(more: Budget, most: Budget | None) -> dict[str, object]:
    """The arguments of a larger budget, up to the user's own maximum."""
    most = most or Budget()
    usd, count = more.usd, more.tokens
    if usd is not None and most.usd is not None:
        usd = min(usd, most.usd)
    if count is not None and most.tokens is not None:
        count = min(count, most.tokens)
    wanted = {"budget_usd": usd, "budget_tokens": count}
    return {name: value for name, value in wanted.items() if value is not None}


# Time
