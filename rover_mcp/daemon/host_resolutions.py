"""Rounds of resolving the conflicts of a rebase: each begins at a stop of the replay, and its
answer is judged here before it counts.

What a round knows is computed again from the commits in the user's repository and the answers so
far, so that nothing is lost with the daemon.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent_runner.crashpoints import crash_point
from agent_runner.models import RunState, Snapshot, StepState, StepStatus
from rover_mcp.control.checkpoint import journal_snapshots
from rover_mcp.control.control_points import RoundPoint
from rover_mcp.control.control_ports import NextRound, RoundsEnd
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_rebases import replay_branch, resolutions_of, shown_resolutions
from rover_mcp.daemon.judge_stop import AgentWords, faced_conflicts, judge_stop
from rover_mcp.domain.conflict_report import check_report, problem_report, report
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.iteration import IterationInput, ResolutionRound
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.resolution_text import resolution_text
from rover_mcp.domain.side_choice import choice_report
from rover_mcp.domain.task_links import ResolvesFor
from rover_mcp.domain.text import plain
from rover_mcp.git.conflict_blame import described, reported_file
from rover_mcp.git.conflicts import MOST_BYTES
from rover_mcp.git.rebase_branch import writing
from rover_mcp.git.replay import Git, Replayed, ReplayStop
from rover_mcp.git.repository_view import opened
from rover_mcp.git.resolved_stops import (
    ResolvedFile,
    bundle_stop,
    commit_of,
    conflict_key,
    lock_command,
    marked_text,
    text_of_base,
    tree_with,
)
from rover_mcp.store.rebase_notes import RoundNote, write_round
from rover_mcp.store.records import TaskRow
from rover_mcp.store.resolutions import CheckResult, Resolutions
from rover_mcp.store.store import Store
from rover_mcp.tasks.pause_view import spent
from rover_mcp.tasks.rebase import RebaseTask

MOST_ANSWERS = 3
"""For one stop: the first, and two after it was said what is wrong."""
MOST_RESULTS = 3
"""On which the project's check may fail."""
CHECKS = ("check_command", "test_command")
"""Inputs of a task that name the command which checks its work."""

LOCKS = "locks"
"""The step that writes lock files again."""


@dataclass(frozen=True)
class _Replay:
    """The rebase that a task resolves, as far as its answers lead."""

    git: Git
    link: ResolvesFor
    base: str
    replayed: Replayed
    used: Sequence[ResolvedFile]

    @property
    def stop(self) -> ReplayStop | None:
        return self.replayed.stop


@dataclass(frozen=True)
class HostResolutions:
    """Reads the user's repository through a view, and writes in the data folder alone."""

    home: Path
    store: Store
    repositories: GitRepositories
    rebase: RebaseTask

    def first(self, task: TaskRow, link: ResolvesFor, new_id: str) -> NextRound:
        """The round with which the new task `new_id` begins to resolve a rebase of `task`.

        Raises:
            Conflict: a conflict cannot be resolved by a text or the choice of a side
                ("not_resolvable").
            RoverError: git failed, or the data folder cannot be written.
        """
        with self._replay(task, link) as replay:
            if replay.stop is None:
                raise Conflict("there are no conflicts left", code="nothing_to_resolve")
            folders = TaskFolders(self.home, new_id, 1)
            begins = self._round(replay, task, replay.stop, folders, 1, ResolutionRound())
            write_round(folders, RoundNote(resolves=link, given=begins.given))
            return begins

    def follow(self, task: TaskRow, state: RunState) -> NextRound | RoundsEnd:
        """See ResolutionRounds."""
        link = _link(task)
        origin = self.store.tasks.get(link.task)
        if origin is None:
            return RoundsEnd(f"task {link.number}, whose conflicts it resolves, is deleted")
        followed = self._follow(task, link, origin, state)
        if isinstance(followed, RoundsEnd) and link.unseen and not followed.failed:
            return replace(followed, warning=self.rebase.unseen(origin, link.base_branch))
        return followed

    def _follow(
        self, task: TaskRow, link: ResolvesFor, origin: TaskRow, state: RunState
    ) -> NextRound | RoundsEnd:
        at = _round_of(task)
        answers = resolutions_of(self.home, origin)
        with self._replay(origin, link) as replay:
            if at.stop is None:
                step, failed = state.steps[-1], at.failed_checks + 1
                if not _succeeded(step) and failed < MOST_RESULTS:
                    return self._anew(task, origin, replay, state, answers)
                return _checked_end(answers, replay, step, link)
            stop = replay.stop
            if stop is not None and stop.commit == at.stop:
                if failed := _failed_locks(state):
                    return RoundsEnd(f"{failed}; task {link.number} is as it was")
                problems = self._judge(task, replay, stop, state, answers)
                if problems:
                    return self._again(task, origin, replay, stop, problems, state)
        with self._replay(origin, link) as replay:
            return self._onward(task, origin, replay, state)

    def _onward(
        self,
        task: TaskRow,
        origin: TaskRow,
        replay: _Replay,
        state: RunState,
        at: ResolutionRound | None = None,
    ) -> NextRound | RoundsEnd:
        """The next stop; the check of the result, if the task has one; or the end."""
        sequence = self._next_sequence(task)
        folders = TaskFolders(self.home, task.id, task.iteration + 1)
        at = (at or _round_of(task)).model_copy(update={"refused": 0, "stop": None})
        try:
            if replay.stop is not None:
                following = self._round(replay, origin, replay.stop, folders, sequence, at)
                return self._imported(task, following, state)
        except Conflict as error:
            return RoundsEnd(f"{error.message}; {error.hint}" if error.hint else error.message)
        command = next((v for name in CHECKS if (v := origin.inputs.get(name))), "")
        if not command:
            return RoundsEnd()
        begin = self._begin(replay, replay.replayed.tip, replay.replayed.tip, folders, sequence)
        given = IterationInput(snapshot=begin, rewound=True, round=at)
        return self._imported(task, NextRound(given, {"check_command": command}), state)

    def _anew(
        self,
        task: TaskRow,
        origin: TaskRow,
        replay: _Replay,
        state: RunState,
        answers: Resolutions,
    ) -> NextRound | RoundsEnd:
        """The first stop once more, after the check has failed on the whole result: which of the
        answers is to blame is not known, so that none counts any more."""
        step, at = state.steps[-1], _round_of(task)
        shown = [*shown_resolutions(replay.git, replay.used, answers)]
        printed = f"{step.outputs.get('stdout', '')}\n{step.outputs.get('stderr', '')}".strip()
        names = replay.link.base_branch, origin.branch
        text = resolution_text(shown, *names)
        report = check_report(step.outputs.get("exit_code", "unknown"), printed, text)
        if replay.stop is None:
            # A daemon that died here has dropped them already.
            answers.forget()
            answers.begin(task.id)
        begun = at.model_copy(
            update={"failed_checks": at.failed_checks + 1, "check_report": report}
        )
        with self._replay(origin, replay.link) as again:
            return self._onward(task, origin, again, state, begun)

    def _judge(
        self, task: TaskRow, replay: _Replay, stop: ReplayStop, state: RunState, kept: Resolutions
    ) -> Mapping[str, Sequence[str]]:
        """Keep the answers for a stop, if all of them count; else what is wrong, by file."""
        begin = task.iteration_input.begin if task.iteration_input else None
        last = journal_snapshots(TaskFolders(self.home, task.id, task.iteration).journal)
        if begin is None or not last:
            raise EnvironmentFault("the answer has no snapshot", code="snapshot_missing")
        hub, base, commit = (
            self.repositories.hub(task.project_id),
            task.base_commit,
            last[-1].commit,
        )
        verdicts, answers = judge_stop(
            replay.git,
            stop,
            lambda path: hub.file_bytes(task.id, base, commit, path, 4 * MOST_BYTES),
            [change.path for change in hub.changes(task.id, base, begin.commit, commit)],
            AgentWords(_output(state, "given_up"), _output(state, "choices")),
        )
        if problems := {path: v.problems for path, v in verdicts.items() if v.problems}:
            return problems
        for path, answer in answers.items():
            kept.put(conflict_key(stop, path), answer)
        crash_point(RoundPoint.ANSWERS_KEPT)
        return {}

    def _again(
        self,
        task: TaskRow,
        origin: TaskRow,
        replay: _Replay,
        stop: ReplayStop,
        problems: Mapping[str, Sequence[str]],
        state: RunState,
    ) -> NextRound | RoundsEnd:
        """The same stop once more, with what was wrong; or the end after too many answers."""
        at, wrong = _round_of(task), problem_report(problems)
        at = at.model_copy(update={"refused": at.refused + 1})
        if at.refused >= MOST_ANSWERS:
            number = _link(task).number
            return RoundsEnd(
                f"none of {MOST_ANSWERS} answers resolves the conflicts of {stop.commit[:10]}, and "
                f"task {number} is as it was: {wrong}"
            )
        folders = TaskFolders(self.home, task.id, task.iteration + 1)
        sequence = self._next_sequence(task)
        following = self._round(replay, origin, stop, folders, sequence, at)
        # In the conversation in which it gave the answer: it knows what it meant.
        sessions = {step.id: step.session for step in state.steps if step.session}
        given = following.given.model_copy(update={"sessions": sessions})
        inputs = {**following.inputs, "problems": "\n".join(filter(None, (wrong, at.check_report)))}
        return self._imported(task, NextRound(given, inputs), state)

    def _round(
        self,
        replay: _Replay,
        origin: TaskRow,
        stop: ReplayStop,
        folders: TaskFolders,
        sequence: int,
        at: ResolutionRound,
    ) -> NextRound:
        git, link = replay.git, replay.link
        faced = faced_conflicts(git, stop)
        _check_resolvable(stop, faced.unresolvable, (link.base_branch, origin.branch))
        names = (link.base_branch, f"{stop.commit[:10]} of {origin.branch}")
        marked = {path: marked_text(known, *names) for path, known in faced.texts.items()}
        # The program that writes a lock file begins with one that is whole.
        marked |= {path: text_of_base(git, stop, path) for path in faced.locks}
        tree = tree_with(git, stop.tree, marked)
        commit = commit_of(git, tree, stop.onto, f"conflicts of {stop.commit}")
        files = [
            reported_file(git, stop, replay.base, path, known)
            for path, known in faced.texts.items()
        ]
        given = IterationInput(
            snapshot=self._begin(replay, commit, stop.onto, folders, sequence),
            rewound=True,
            round=at.model_copy(update={"stop": stop.commit}),
        )
        choices = choice_report([*faced.choices.values()], link.base_branch)
        text = report(described(git, stop.commit), link.base_branch, files, choices)
        conflicts = text if files or faced.choices else ""
        inputs = {"conflicts": conflicts, "lock_command": lock_command(faced.locks)}
        if at.check_report:
            inputs["problems"] = at.check_report
        return NextRound(given, inputs)

    def _begin(
        self, replay: _Replay, commit: str, head: str, folders: TaskFolders, sequence: int
    ) -> Snapshot:
        """What a sandbox begins with, and the bundle that carries it."""
        tree = replay.git(["rev-parse", f"{commit}^{{tree}}"]).text
        bundle = f"{sequence:06}.bundle"
        begin = Snapshot(sequence=sequence, commit=commit, tree=tree, bundle=bundle, head=head)
        bundle_stop(replay.git, replay.link.onto, begin, folders.rebases / bundle)
        return begin

    def _imported(self, task: TaskRow, following: NextRound, state: RunState) -> NextRound:
        """The round with its beginning in the hub, and with what was used so far."""
        begin = following.given.snapshot
        folders = TaskFolders(self.home, task.id, task.iteration + 1)
        if begin is not None:
            bundle = folders.rebases / begin.bundle
            hub = self.repositories.hub(task.project_id)
            hub.import_bundle(task.id, task.base_commit, bundle, begin, task.branch)
        given = following.given.model_copy(update={"usage": spent(state)})
        write_round(folders, RoundNote(resolves=_link(task), given=given))
        crash_point(RoundPoint.PREPARED)
        return NextRound(given, following.inputs)

    def _next_sequence(self, task: TaskRow) -> int:
        return max([0, *self.repositories.hub(task.project_id).snapshots(task.id)]) + 1

    @contextmanager
    def _replay(self, task: TaskRow, link: ResolvesFor) -> Generator[_Replay]:
        answers = resolutions_of(self.home, task)
        with opened(Path(task.project_path)) as view, writing(view, keep=False) as git:
            base = git(["merge-base", link.onto, link.tip]).text
            branch = replay_branch(git, link.tip, link.onto, link.stands_on, answers)
            if branch is None:
                raise Conflict(f"{link.base_branch} has all of it", code="nothing_to_rebase")
            yield _Replay(git, link, base, branch.replayed, branch.used)


def _check_resolvable(
    stop: ReplayStop, kinds: Mapping[str, str], branches: tuple[str, str]
) -> None:
    """
    Raises:
        Conflict: the `kinds` of these files are not resolved here ("not_resolvable").
    """
    if kinds:
        shown = "; ".join(f"{path} ({kind})" for path, kind in list(kinds.items())[:20])
        raise Conflict(
            f"the conflicts of {stop.commit[:10]} cannot be resolved here: {shown}",
            hint="merge {} into {} with git, and resolve them".format(*branches),
            code="not_resolvable",
        )


def _link(task: TaskRow) -> ResolvesFor:
    if task.links is None or task.links.resolves is None:
        raise EnvironmentFault(f"task {task.number} resolves no conflicts", code="damaged_record")
    return task.links.resolves


def _round_of(task: TaskRow) -> ResolutionRound:
    at = task.iteration_input.round if task.iteration_input else None
    if at is None:
        raise EnvironmentFault(f"task {task.number} has no round", code="damaged_record")
    return at


def _output(state: RunState, name: str) -> str:
    return next((s.outputs[name] for s in reversed(state.steps) if name in s.outputs), "")


def _succeeded(step: StepState) -> bool:
    """Whether a command that may fail did not."""
    return step.status is StepStatus.COMPLETED and step.outputs.get("success") == "true"


def _failed_locks(state: RunState) -> str | None:
    """Why the lock files in conflict could not be written again."""
    step = next((s for s in state.steps if s.id == LOCKS), None)
    if step is None or step.status is StepStatus.SKIPPED or _succeeded(step):
        return None
    code, printed = step.outputs.get("exit_code", "unknown"), step.outputs.get("stderr", "")
    last = plain(printed).strip().splitlines()[-1:]
    why = f": {last[0][:300]}" if last else ""
    return f"the lock files in conflict cannot be written again (exit status {code}){why}"


def _checked_end(
    answers: Resolutions, replay: _Replay, step: StepState, link: ResolvesFor
) -> RoundsEnd:
    """The end after the project's check, whose outcome is kept for whoever looks at the result."""
    problem: str | None = None
    if not _succeeded(step):
        code = step.outputs.get("exit_code", "unknown")
        problem = f"the check fails on the result (exit status {code})"
    answers.note_check(CheckResult(tip=replay.replayed.tip, problem=problem))
    if problem is None:
        return RoundsEnd()
    return RoundsEnd(
        f"{problem}, as on the {MOST_RESULTS - 1} before it; task {link.number} is as it was, and "
        "rebase_task shows that result, which can still be taken"
    )
