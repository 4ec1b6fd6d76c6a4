"""What the verbs share that change a user's repository, or delete a task: a row before, a row
after, and what a new daemon does about the rows that its predecessor left open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import Conflict, EnvironmentFault, RoverError, UserFixable
from rover_mcp.domain.operation import OperationKind, OperationPoint, OperationState
from rover_mcp.domain.text import visible_line
from rover_mcp.store.operations import OperationRow, Operations
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.handoff_files import NAMED, first_of_each, run_by
from rover_mcp.tasks.quoted_text import named

FILES_NAMED = 20

log = logging.getLogger("rover.tasks")
T = TypeVar("T")


class NotSettled(EnvironmentFault):
    """An operation that was cut off can neither be finished nor undone just now."""


@dataclass
class OperationLog:
    """Runs operations one after another for each task, each with its row. `settlers` finish or
    undo, by kind, an operation that was cut off, and say which of the two it was."""

    rows: Operations
    settlers: dict[OperationKind, Callable[[OperationRow], OperationState]] = field(
        default_factory=dict[OperationKind, Callable[[OperationRow], OperationState]]
    )
    _running: dict[str, int] = field(default_factory=dict[str, int])
    """tasks with an operation at work, each with its thread"""
    _settling: dict[str, int] = field(default_factory=dict[str, int])
    """tasks whose cut-off operations are being settled, each with the thread that does it"""
    _released: threading.Condition = field(default_factory=threading.Condition)

    def run(
        self,
        task_id: str,
        kind: OperationKind,
        plan: Mapping[str, Any],
        work: Callable[[OperationRow], T],
        also: Collection[str] = (),
    ) -> T:
        """Do `work` between the two rows. Where it raises, it has undone what it did; after
        NotSettled the row stays open, to be settled later. `also`: other tasks that it changes.

        Raises:
            Conflict: another operation of the task is at work.
            RoverError: as `work`.
        """
        with self._claimed({task_id, *also}):
            row = self.rows.begin(task_id, kind, plan)
            # The row comes first, so that a daemon that starts after a crash knows which repository
            # to look at.
            crash_point(OperationPoint.RECORDED)
            try:
                result = work(row)
            except NotSettled:
                # The point of no return is behind it: the next `settle` completes it.
                raise
            except (RoverError, OSError) as error:
                self.rows.end(row.id, OperationState.UNDONE, str(error)[:500])
                raise
            self.rows.end(row.id, OperationState.DONE)
            return result

    @contextmanager
    def _claimed(self, tasks: set[str]) -> Generator[None]:
        """Let no other operation work on these tasks, once no other thread settles theirs."""
        me = threading.get_ident()
        # All at once under one lock, so that no two operations wait for each other's tasks.
        with self._released:
            # The daemon claims each task that had an open row when it started, if only to see that
            # a call has settled it.
            while any(self._settling.get(task, me) != me for task in tasks):
                self._released.wait()
            if tasks & (self._running.keys() | self._settling.keys()):
                raise _at_work()
            self._running |= dict.fromkeys(tasks, me)
        try:
            yield
        finally:
            with self._released:
                for task in tasks:
                    del self._running[task]

    def settle(self, task_id: str | None = None) -> None:
        """Finish or undo what was cut off: all of it, or a task's. If another thread settles a
        task's operations, this waits for it. What cannot be settled stays open for the next time.

        Raises:
            Conflict: an operation of this task is at work in another thread ("operation_running").
        """
        for row in self.rows.open():
            if task_id not in (None, row.task_id):
                continue
            with self._claimed_to_settle(row.task_id) as claimed:
                if not claimed and task_id is not None:
                    self._check_own(task_id)
                # Another thread may have settled it since the rows were read.
                if claimed and self.rows.is_open(row.id):
                    self._settle(row)

    def _settle(self, row: OperationRow) -> None:
        try:
            state = self.settlers[OperationKind(row.kind)](row)
        except (RoverError, OSError) as error:
            # Whatever is wrong with one task: the daemon is to settle the operations of the others.
            log.warning("a %s of task %s stays open: %s", row.kind, row.task_id, error)
        else:
            self.rows.end(row.id, state, "interrupted by the end of the daemon")
            log.info("a %s of task %s that was cut off is %s", row.kind, row.task_id, state)

    @contextmanager
    def _claimed_to_settle(self, task_id: str) -> Generator[bool]:
        """Claim a task once no other thread settles its operations. False if an operation of it is
        at work, or this thread settles them already."""
        me = threading.get_ident()
        with self._released:
            while self._settling.get(task_id, me) != me:
                self._released.wait()
            claimed = task_id not in self._running | self._settling
            if claimed:
                self._settling[task_id] = me
        try:
            yield claimed
        finally:
            if claimed:
                with self._released:
                    del self._settling[task_id]
                    self._released.notify_all()

    def _check_own(self, task_id: str) -> None:
        # Half of an operation of another thread is not to be judged as somebody else's change.
        me = threading.get_ident()
        if self._running.get(task_id, me) != me:
            raise _at_work()


def _at_work() -> Conflict:
    return Conflict(
        "another merge, rebase, push, checkout or deletion of this task is at work",
        hint="call again in a few seconds",
        code="operation_running",
    )


def check_local(caller: Caller, what: str) -> None:
    """That the caller is the user of this machine.

    Raises:
        UserFixable: it is a user over HTTP.
    """
    if caller.user is not None:
        raise UserFixable(
            f"only the user of this machine can {what}; the task's branch is in the repository",
            code="not_allowed",
            hint="ask that user",
        )


def hand_off_files(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Those of the paths that a program on the host runs or obeys later without asking, and the
    program; first the first of each program."""
    runs = {path: who for path in paths if (who := run_by(path))}
    return [(path, runs[path]) for path in first_of_each(runs)]


def hand_off_lines(files: Sequence[tuple[str, str]]) -> list[str]:
    """Each such file with what runs it, for a reader."""
    return [f"{named(visible_line(path), NAMED)} (run by {who})" for path, who in files]


def check_hand_off(files: Sequence[tuple[str, str]], accepted: Iterable[str], call: str) -> None:
    """That every one of the files is accepted by its name, or by that of a folder above it which
    ends with a slash. `call` names the argument.

    Raises:
        UserFixable: some are not ("hand_off_files").
    """
    names = tuple(accepted)
    folders = tuple(name for name in names if name.endswith("/"))
    missing = [(p, who) for p, who in files if p not in names and not p.startswith(folders)]
    if missing:
        shown = "; ".join(hand_off_lines(missing[:FILES_NAMED]))
        more = len(missing) - FILES_NAMED
        raise UserFixable(
            f"the task changed files that programs on your machine run without asking: {shown}"
            + (f"; and {more} more" if more > 0 else ""),
            hint=f"look at them with get_diff; once the user agrees, name them in {call}",
            code="hand_off_files",
        )


def settled(work: Callable[[], T]) -> T:
    """What `work` finds in a repository that may be gone or broken by now.

    Raises:
        NotSettled: it cannot be looked at now.
    """
    try:
        return work()
    except (RoverError, OSError) as error:
        raise NotSettled(str(error)) from error
