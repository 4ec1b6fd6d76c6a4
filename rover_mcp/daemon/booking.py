"""The gateway's entries in the store, and what they say of a budget."""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.models import RunState
from rover_mcp.gateway.models import Entry
from rover_mcp.store.rows import CallRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.booked import larger, with_books
from rover_mcp.tasks.pauses import spent, used_up


def write_entries(store: Store, entries: Sequence[Entry]) -> None:
    """Write or rewrite what answers told."""
    store.books.write([_row(entry) for entry in entries])


def over_budget(store: Store, task_id: str) -> str | None:
    """What is used up of the task's budget; None: it may go on, or has none."""
    task = store.task(task_id)
    if task is None or task.budget is None:
        return None
    return used_up(task.budget, larger(spent(task.run_state), store.books.spent(task_id)))


def booked_state(store: Store, task_id: str, state: RunState | None) -> RunState | None:
    """The state of a running task, with what the books say."""
    return with_books(state, store.books.by_model(task_id)) if state else None


def _row(entry: Entry) -> CallRow:
    usage = entry.usage
    return CallRow(
        task_id=entry.task_id,
        id=entry.id,
        attempt=entry.attempt,
        at=entry.at.timestamp(),
        provider=entry.provider,
        model=entry.model,
        calls=1,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_usd=usage.cost_usd,
    )
