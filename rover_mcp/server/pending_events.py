"""Selects the events that a session sees with its next answer."""

from __future__ import annotations

from rover_mcp.server.session import ClientSession, PendingEvents
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.store.store import Store


def unseen_events(store: Store, session: ClientSession, limit: int) -> PendingEvents:
    """The events that a session has not seen, the newest `limit` of them. Changes nothing."""
    log_, caller = store.events, session.caller
    here = store.projects.around(caller.cwd) if caller.user is None else None
    own = here.id if here else None
    if session.cursor is None:
        last = log_.last_seq()
        events = log_.unseen(owner=caller.user, project=own, besides=session.watched)
    else:
        events = log_.notable_after(session.cursor)
        last = max((e.seq for e in events), default=session.cursor)
    # Of each task only its newest event: what happened before it is of interest to inspect only.
    newest = {e.task_id: e for e in events}
    mine: list[tuple[EventRow, TaskRow]] = []
    for event in newest.values():
        try:
            task = store.tasks.get(event.task_id)
        except DamagedRecord:
            continue  # list_tasks names it
        known = event.seq <= session.seen_by_get.get(event.task_id, 0)
        if task is not None and not known and session.concerned_by(task, own):
            mine.append((event, task))
    mine.sort(key=lambda pair: pair[0].seq)
    shown = mine[-limit:]
    # What is told to one user is not yet told to another, who owns it.
    owned = tuple(e for e, task in shown if task.owner == caller.user)
    return PendingEvents(tuple(e for e, _ in shown), max(0, len(mine) - limit), last, owned)
