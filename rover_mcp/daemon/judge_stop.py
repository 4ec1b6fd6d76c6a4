"""What an agent faces at a stop of a rebase, and whether its answer for it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rover_mcp.domain.conflict_report import reasons_of
from rover_mcp.domain.conflicted_file import ConflictRegion
from rover_mcp.domain.resolution import Resolution, judge_files, lock_problem, unfenced
from rover_mcp.domain.side_choice import ChoiceConflict, choices_of, judge_choices
from rover_mcp.git.conflicts import conflict_pieces
from rover_mcp.git.replay import Git, ReplayStop
from rover_mcp.git.resolved_stops import lock_command
from rover_mcp.git.side_conflicts import (
    LOCK_FILE,
    RESOLVABLE,
    choice_conflicts,
    rename_groups,
    stop_kinds,
    unresolvable,
)
from rover_mcp.store.resolutions import ResolutionAnswer

Pieces = Sequence[str | ConflictRegion]
ReadFile = Callable[[str], bytes | None]
"""The content of a file as the agent left it; None where there is no regular file, or a very large
one."""
Judged = tuple[dict[str, Resolution], dict[str, ResolutionAnswer]]
"""The verdict on each file, and the answers."""


@dataclass(frozen=True)
class FacedConflicts:
    """The conflicts of a stop: of texts, for which a side is chosen, of lock files, and those that
    are not resolved here, each with its kind."""

    kinds: Mapping[str, str]
    texts: Mapping[str, Pieces]
    choices: Mapping[str, ChoiceConflict]
    locks: Sequence[str]
    unresolvable: Mapping[str, str]


@dataclass(frozen=True)
class AgentWords:
    """What an agent says beside the files: the lines that it gave up, and the sides that it chose,
    each with a reason."""

    given_up: str
    choices: str


def faced_conflicts(git: Git, stop: ReplayStop) -> FacedConflicts:
    """The conflicts of a stop."""
    pieces = {path: conflict_pieces(git, stop, path) for path in stop.paths}

    def is_text(path: str) -> bool:
        return pieces.get(path) is not None

    kinds = stop_kinds(stop, is_text)
    own = {path for path, kind in kinds.items() if kind in RESOLVABLE and kind != LOCK_FILE}
    return FacedConflicts(
        kinds,
        {path: known for path, known in pieces.items() if path in own and known is not None},
        choice_conflicts(git, stop, kinds),
        [path for path, kind in kinds.items() if kind == LOCK_FILE],
        unresolvable(stop, is_text),
    )


def judge_stop(
    git: Git, stop: ReplayStop, read: ReadFile, changed: Sequence[str], words: AgentWords
) -> Judged:
    """Judge the answer for a stop. `changed` are all paths that the agent touched."""
    faced = faced_conflicts(git, stop)
    free = {*faced.locks, *faced.choices}
    verdicts, answers = _of_texts(faced, read, [p for p in changed if p not in free], words)
    for path in faced.locks:
        text, wrong = _text(read, path, ())
        problem = wrong or lock_problem(path, text)
        verdicts[path] = Resolution((problem,) if problem else ())
        command = lock_command([path])
        answers[path] = ResolutionAnswer(path=path, text=text, written_by=command)
    texts = {path: None if (t := _text(read, path, ()))[1] else t[0] for path in faced.choices}
    chosen, given = judge_choices(
        faced.choices,
        choices_of(words.choices),
        texts,
        set(changed),
        rename_groups(stop, faced.kinds),
    )
    for path, one in given.items():
        up = chosen[path].dropped
        answers[path] = ResolutionAnswer(path=path, text=one.text, side=one.side, given_up=up)
    return {**verdicts, **chosen}, answers


def _of_texts(
    faced: FacedConflicts, read: ReadFile, changed: Sequence[str], words: AgentWords
) -> Judged:
    texts: dict[str, str] = {}
    wrong: dict[str, Resolution] = {}
    for path, pieces in faced.texts.items():
        text, why = _text(read, path, pieces)
        if why:
            wrong[path] = Resolution((why,))
        else:
            texts[path] = text
    reasons = reasons_of(words.given_up)
    verdicts = judge_files(faced.texts, texts, changed, dict.fromkeys(faced.texts, reasons)) | wrong
    answers = {
        path: ResolutionAnswer(path=path, text=text, given_up=verdicts[path].dropped)
        for path, text in texts.items()
    }
    return verdicts, answers


def _text(read: ReadFile, path: str, pieces: Pieces) -> tuple[str, str]:
    """The text of a file as the agent left it, or what is wrong with it."""
    content = read(path)
    if content is None:
        return "", "it is gone, or no regular file, or too large"
    try:
        return unfenced(content.decode(), pieces), ""
    except UnicodeDecodeError:
        return "", "it is not UTF-8 text"
