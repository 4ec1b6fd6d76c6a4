"""The beginning of an attempt: claim it, choose its agent, bring its sandbox up."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.agents import agent_provider
from agent_runner.crashpoints import crash_point
from agent_runner.models import Pause, PauseReason
from agent_runner.printable import only_printable
from agent_runner.worktree.disk_watch import nearly_full
from agent_runner.worktree.script_runner import NAMES
from rover_mcp.config import client_programs
from rover_mcp.config.limits import disk_limit
from rover_mcp.control.accounts import NoCredential, Use, Wait, choose_agent, choose_for
from rover_mcp.control.attempt_context import GIT_STOOD_STILL, AttemptContext, is_on, now
from rover_mcp.control.checkpoint import Checkpoint, prepare_checkpoint
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.decide import for_disk, retry_time
from rover_mcp.control.preparation import PreparationLog
from rover_mcp.control.repository_setup import project_setup
from rover_mcp.control.sandbox_spec import make_folders, own_model, sandbox_spec
from rover_mcp.control.task_packages import lend_packages
from rover_mcp.domain.attempt_state import WAITING, AttemptState
from rover_mcp.domain.cancellation import CancelToken, Stopped
from rover_mcp.domain.disk_full_error import DISK_FULL, write_fault
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.source_tree import SourceTree
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.git.submodules import SUBMODULES
from rover_mcp.sandbox.protocol import SandboxExit, SandboxSpec, Shortcoming
from rover_mcp.store.records import HoldRow, TaskRow
from rover_mcp.tasks.pause_view import awaits_credential


class AttemptLaunch:
    """Claims an attempt and starts its sandbox. Every method is idempotent: DBOS runs a step again
    that was in flight when the daemon died."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context

    def claim(self, task_id: str, attempt: int, workflow_id: str) -> bool:
        """Claim the attempt if its turn has come, nothing else has happened to the task, and an
        account that it may use is open. If all are closed it waits for one."""
        choice = self.choose(task_id, attempt)
        while isinstance(choice, Wait):
            if self._context.store.claims.hold(task_id, attempt, workflow_id, choice.limit):
                return False
            choice = self.choose(task_id, attempt)
        if isinstance(choice, NoCredential):
            self._await_credential(task_id, attempt, workflow_id, choice)
            return False
        task = self._context.store.claims.start(
            task_id, attempt, workflow_id,
            agent=choice.agent, agent_binary=self._binary(task_id, choice.agent),
            account=choice.account, limits=choice.limits,
        )  # fmt: skip
        if task is None:
            return False
        if isinstance(task, HoldRow):
            # The account was closed, or given to a probe, since the choice was made.
            return self.claim(task_id, attempt, workflow_id)
        if not is_on(task, attempt):
            self.discard(task, attempt)
            return False
        crash_point(ControlPoint.CLAIMED)
        return True

    def choose(self, task_id: str, attempt: int) -> Use | Wait | NoCredential:
        """Choose the agent and the account of an attempt by the present holds."""
        task, row = self._context.task(task_id), self._context.store.attempts.get(task_id, attempt)
        holds = {hold.account: hold for hold in self._context.store.holds.all()}
        agents = task.agents or [task.agent]
        if row is not None and row.state == AttemptState.STARTING:
            # The choice was recorded before the daemon died, and holds as it is.
            agents, holds = [task.agent], {}
        when = now().timestamp()
        asked_for = row is not None and row.state == AttemptState.QUEUED and row.before is not None

        def choose(holds: Mapping[str, HoldRow]) -> Use | Wait | NoCredential:
            return choose_agent(
                agents,
                lambda agent: self._context.options(task, attempt, agent),
                holds,
                (task_id, attempt),
                when,
                asked_for=asked_for,
            )

        return choose_for(task_id, holds, self._context.store.holds.reports(task_id), when, choose)

    def takes_over(
        self, task: TaskRow, agent: str, model: str | None = None
    ) -> Use | Wait | NoCredential:
        """The choice that would be made if an agent continued a task now, with `model` if given."""
        if model is not None:
            # The pause concerns the model that the task had so far.
            task = replace(task, agent=agent, agents=None, model=model, pause=None)
        holds = {hold.account: hold for hold in self._context.store.holds.all()}
        return choose_agent(
            [agent],
            lambda name: self._context.options(task, task.attempt, name),
            holds,
            (task.id, task.attempt),
            now().timestamp(),
        )

    def _binary(self, task_id: str, agent: str) -> str | None:
        """The program on this host of an agent that takes over."""
        if agent_provider(agent) is None:
            return None
        return client_programs.find(agent, None, Path(self._context.task(task_id).project_path))

    def _await_credential(
        self, task_id: str, attempt: int, workflow_id: str, choice: NoCredential
    ) -> None:
        """Let the attempt wait for a credential. Nothing is started without one."""
        task = self._context.task(task_id)
        pause = Pause(
            reason=PauseReason.AUTH,
            message=choice.missing,
            since=now(),
            provider=agent_provider(choice.agent, own_model(task)),
        )
        by_itself = awaits_credential(task, pause) and self._context.resumes_by_itself(task)
        self._context.store.claims.await_credential(
            task_id, attempt, workflow_id, pause, by_itself=by_itself
        )

    def bring_up(self, task_id: str, attempt: int) -> bool:
        """Start the sandbox; False if that failed, and the task is as it was before."""
        # The token exists before the task is read: a cancellation that comes after that finds it.
        stop = self._context.starting[task_id] = CancelToken()
        try:
            return self._bring_up(task_id, attempt, stop)
        finally:
            self._context.starting.pop(task_id, None)

    def _bring_up(self, task_id: str, attempt: int, stop: CancelToken) -> bool:
        task = self._context.task(task_id)
        if not is_on(task, attempt):
            if task.status is TaskStatus.CANCELLED and task.attempt == attempt:
                return True  # nothing is started, and `follow` stops what a crash left running
            self.discard(task, attempt)
            return False
        try:
            if self._context.is_unwanted(task):
                stop.ask()
            spec = self._start_sandbox(task, attempt, stop)
        except Stopped:
            return True  # it was cancelled, as above, or paused, which `settle` finds out
        except RoverError as error:
            self._start_failed(task, attempt, error)
            return False
        except OSError as error:
            place = Path(os.fsdecode(error.filename or self._context.settings.home))
            self._start_failed(task, attempt, write_fault("cannot start", place, error))
            return False
        if self._context.store.attempts.move(
            task_id,
            attempt,
            (AttemptState.STARTING,),
            state=AttemptState.RUNNING,
            started_at=time.time(),
        ):
            crash_point(ControlPoint.SANDBOX_RECORDED)
            self._context.store.events.add(task_id, "task.sandbox", {"attempt": attempt})
        self._context.warm_pool.follow(spec, task.engine)
        return True

    def _start_sandbox(self, task: TaskRow, attempt: int, stop: CancelToken) -> SandboxSpec:
        self._check_disk(task)
        spec = self._specify(task, attempt, stop)
        folders = TaskFolders(self._context.settings.home, task.id, task.iteration)
        engine = self._context.engines[task.engine]
        self._context.open_gateway(task, attempt)
        crash_point(ControlPoint.GATEWAY_OPEN)
        with PreparationLog(folders.preparation, spec.run.limits.log_bytes) as kept:
            engine.prepare(spec, self._progress(task.id, kept.line), stop)
        engine.ensure(spec)
        shutil.rmtree(folders.packages, ignore_errors=True)
        crash_point(ControlPoint.SANDBOX_UP)
        self._context.warm_pool.used(task.id)
        return spec

    def _check_disk(self, task: TaskRow) -> None:
        """Raise an error if the disk is nearly full: the space in reserve is for records, not for a
        new sandbox."""
        disk = disk_limit(self._context.settings, task.config)
        disk = disk.model_copy(update={"folders": (self._context.settings.home,)})
        if problem := nearly_full(disk):
            raise EnvironmentFault(problem, code=DISK_FULL)

    def _specify(self, task: TaskRow, attempt: int, stop: CancelToken) -> SandboxSpec:
        folders = TaskFolders(self._context.settings.home, task.id, task.iteration)
        make_folders(folders, attempt)
        hub = self._context.hub_of(task.project_id)
        repository, tell = Path(task.project_path), self._progress(task.id)
        hub.lend(repository, task.base_commit, folders.base_objects, tell, stop)
        crash_point(ControlPoint.BASE_LENT)
        self._name(task, hub, folders, attempt)
        row, engine = (
            self._context.store.attempts.get(task.id, attempt),
            self._context.engines[task.engine],
        )
        checkpoint = prepare_checkpoint(task, row, folders, hub, engine) if row else Checkpoint()
        for warning in checkpoint.warnings:
            self._context.warn(task, warning)
        spec = sandbox_spec(self._context.settings, task, attempt, checkpoint)
        tree = hub.tree(task.base_commit)
        seed = lend_packages(self._context.settings, task, attempt, tree, engine)
        spec = replace(spec, home_seed=seed)
        return self._with_setup(spec, task, tree)

    def _name(self, task: TaskRow, hub: ProjectHub, folders: TaskFolders, attempt: int) -> None:
        """Give the clone the names that commits have in the user's repository. They are read once,
        so that each attempt has those of the task's beginning."""
        if not folders.names.exists():
            try:
                repository = Path(task.project_path)
                hub.name(repository, task.base_commit, task.base_branch, folders.names)
            except RoverError as error:
                # The names are a convenience, and the base is here without them.
                self._context.warn(
                    task, f"the clone has no tags and no base branch: {error.message}"
                )
                return
        if not folders.names.exists():
            return
        if not (folders.names / SUBMODULES).exists():
            self._lend_more(task, hub, folders)
        target = folders.spec(attempt) / NAMES
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folders.names, target)

    def _lend_more(self, task: TaskRow, hub: ProjectHub, folders: TaskFolders) -> None:
        """Lend submodules and git-lfs objects. The task also runs without them."""
        repository, base, objects = Path(task.project_path), task.base_commit, folders.base_objects
        try:
            lacking = hub.lend_lfs(repository, base, objects)
        except RoverError as error:
            lacking = [error.message]
        self._lacks(task, "files of git-lfs have no content in the sandbox", lacking)
        try:
            lacking = hub.lend_submodules(repository, base, objects, folders.names / SUBMODULES)
        except RoverError as error:
            lacking = [error.message]
        self._lacks(task, "submodules are empty in the sandbox", lacking)

    def _lacks(self, task: TaskRow, what: str, reasons: Sequence[str]) -> None:
        if reasons:
            why = only_printable("; ".join(reasons))
            self._context.warn(task, f"{what}: {why[:1000]}")

    def _with_setup(self, spec: SandboxSpec, task: TaskRow, tree: SourceTree) -> SandboxSpec:
        spec, warnings = project_setup(self._context.settings, task, spec, tree)
        for warning in warnings:
            self._context.warn(task, warning)
        return spec

    def _start_failed(self, task: TaskRow, attempt: int, error: RoverError) -> None:
        # Whatever was started is removed before the status changes: from then on the next attempt
        # may start.
        self._context.remove_sandbox(task, attempt)
        self._context.gateway.close(task.id)
        if error.code == DISK_FULL:
            self._full(task, attempt, error)
        else:
            again = self._again_after(task, attempt)
            at = again.timestamp() if again else None
            if self._context.store.transitions.undo_resume(
                task.id, attempt, error.message, error.hint, at
            ):
                pass  # the task is what it was before the resume
            elif error.code == GIT_STOOD_STILL:
                self._context.pause(
                    task, attempt, self._context.pause_for_git(task, error.message), None
                )
            else:
                self._context.fail(task.id, attempt, error)
        self._context.end(task.id, attempt, SandboxExit(None), error.message)

    def _full(self, task: TaskRow, attempt: int, error: RoverError) -> None:
        """Let the task wait until there is space, whatever status it had before."""
        row, decision = self._context.store.attempts.get(task.id, attempt), for_disk(error)
        if row is None or row.before is None or row.before["status"] != TaskStatus.PAUSED:
            awaits = self._context.resumes_by_itself(task) and self._context.is_watched(
                decision.pause, 0
            )
            self._context.pause(task, attempt, decision, None, awaits=awaits)
        elif self._context.store.transitions.undo_resume(
            task.id, attempt, error.message, error.hint
        ):
            self._context.store.attempts.drop_schedule(task.id, pause=decision.pause)
            if self._context.resumes_by_itself(task) and self._context.is_awaited(
                self._context.task(task.id)
            ):
                self._context.store.attempts.await_again(task.id)

    def discard(self, task: TaskRow, attempt: int) -> None:
        """Remove everything of an attempt that its task no longer waits for."""
        self._context.remove_sandbox(task, attempt)
        why = f"the task was {task.status} already"
        self._context.end(task.id, attempt, SandboxExit(None), why)
        self._context.store.attempts.move(
            task.id,
            attempt,
            WAITING,
            state=AttemptState.SUPERSEDED,
            ended_at=time.time(),
            detail=why,
        )

    def _again_after(self, task: TaskRow, attempt: int) -> datetime | None:
        """When a paused task tries again after a failed start, or None. The try counts."""
        row = self._context.store.attempts.get(task.id, attempt)
        before = row.before if row else None
        if before is None or before["status"] != TaskStatus.PAUSED or before["pause"] is None:
            return None
        pause = Pause.model_validate(before["pause"])
        # A pause for an account allows any number of tries, but what prevents a start ends neither
        # with time nor with money.
        given_up = task.auto_retries >= self._context.settings.retry.max_auto_retries
        if given_up or not self._context.resumes_by_itself(task):
            return None
        if before["retry_at"] is not None and before["retry_at"] > time.time():
            return datetime.fromtimestamp(before["retry_at"], UTC)
        pause = pause.model_copy(update={"retry_at": None})
        return retry_time(
            pause, task.auto_retries, self._context.settings.retry, now(), self._context.uniform()
        )

    def _progress(
        self, task_id: str, keep: Callable[[str], None] = lambda _: None
    ) -> Callable[[str], None]:
        """A function that records the lines of a long preparation as events, at most two per
        second, because a build prints a lot. `keep` receives every line."""
        last = 0.0

        def tell(line: str) -> None:
            nonlocal last
            keep(line)
            if isinstance(line, Shortcoming):
                self._context.warn(self._context.task(task_id), str(line))
            elif time.monotonic() - last >= 0.5:
                last = time.monotonic()
                self._context.store.events.add(task_id, "task.preparing", {"message": line[:500]})

        return tell
