"""Whether a file that somebody resolved may count, judged from its text alone.

A model that resolves a conflict may leave markers, wrap the file in a fence, explain in place of
writing, cut the file short, or take one side and forget the other. None of that is visible in a
diff that only grows by a merge, so each answer is held against what was in conflict: what lies
between the conflicted places has to be there byte for byte, and each line that a side added or
removed has to be accounted for.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import PurePosixPath

import yaml

from rover_mcp.domain.conflicted_file import ConflictRegion

ROOM = 4
"""A resolution is at most so many times as long as both sides together, and a little more."""
LEAST_ROOM = 2000
ALIKE = 0.4
"""From this likeness on (0 to 1) a line is a changed form of another."""
_MARKER = re.compile(r"(?m)^(?:<{7,}|\|{7,}|>{7,})(?:\s|$)|^={7,}$")
_FENCE = re.compile(r"\A\s*(?:```|~~~)[^\n]*\n|\n(?:```|~~~)\s*\Z")
_FENCED = re.compile(r"\s*(?:```|~~~)[^\n]*\n(.*\n)(?:```|~~~)\s*", re.DOTALL)
_NAMED = 3
MOST_PLACEMENTS = 200
"""Ways to read an answer that are tried."""
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class ResolvedPart:
    """A place in conflict with the text that took its place."""

    region: ConflictRegion
    text: str


@dataclass(frozen=True)
class Resolution:
    """The verdict on one file. `problems` keep it from counting. `dropped` are changes of a side
    that the resolver gave up and gave a reason for: they are to be shown."""

    problems: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether the file may be used."""
        return not self.problems


def judge(
    path: str,
    pieces: Sequence[str | ConflictRegion],
    answer: str,
    reasons: Mapping[str, str] | None = None,
) -> Resolution:
    """Judge the `answer` for a file that is made of `pieces`: text on which the sides agree, and
    places on which they do not. `reasons` are the resolver's own, by the line that it gave up."""
    onto = _filled(pieces, lambda region: region.onto)
    branch = _filled(pieces, lambda region: region.branch)
    problems = [*form_problems(answer, onto, branch), *_size(pieces, answer)]
    if problems:
        return Resolution(tuple(problems))
    parts = best_parts(pieces, answer)
    if parts is None:
        return Resolution(("it changes text outside of the places that are in conflict",))
    dropped: list[str] = []
    for part in parts:
        for side, lines in lost(part):
            missing = [line for line in lines if not (reasons or {}).get(line.strip())]
            if missing:
                problems.append(_dropped(part.region, side, missing))
            else:
                dropped += [f"{side}: {line.strip()} ({(reasons or {})[line.strip()]})"
                            for line in lines]  # fmt: skip
    problems += syntax_problems(path, answer, (onto, branch))
    return Resolution(tuple(problems), tuple(dropped))


def best_parts(pieces: Sequence[str | ConflictRegion], answer: str) -> list[ResolvedPart] | None:
    """What took the place of each region; None where the text between them is not as it was."""
    # A short text between two places may stand in a resolution, too: where any reading of the
    # answer accounts for both sides, that is the one.
    placements = itertools.islice(resolved_parts(pieces, answer), MOST_PLACEMENTS)
    return min(placements, key=lambda some: sum(1 for p in some for _ in lost(p)), default=None)


def unfenced(answer: str, pieces: Sequence[str | ConflictRegion]) -> str:
    """The answer without a code fence that is around all of it, unless a side has one there."""
    match = _FENCED.fullmatch(answer)
    onto = _filled(pieces, lambda region: region.onto)
    branch = _filled(pieces, lambda region: region.branch)
    fenced = _FENCE.search(onto) or _FENCE.search(branch)
    return answer if match is None or fenced else match[1]


def resolved_parts(
    pieces: Sequence[str | ConflictRegion], answer: str
) -> Iterator[list[ResolvedPart]]:
    """What took the place of each region, in every way in which the text between them can be found
    in the answer; none, where that is not as it was."""
    anchors, regions = _split(pieces)
    for spans in _spans(anchors, answer):
        yield [
            ResolvedPart(region, answer[start:end])
            for region, (start, end) in zip(regions, spans, strict=True)
        ]


def _split(pieces: Sequence[str | ConflictRegion]) -> tuple[list[str], list[ConflictRegion]]:
    """The texts before, between and after the regions, and the regions."""
    anchors, regions = [""], list[ConflictRegion]()
    for piece in pieces:
        if isinstance(piece, str):
            anchors[-1] += piece
        else:
            regions.append(piece)
            anchors.append("")
    return anchors, regions


def _spans(anchors: Sequence[str], answer: str) -> Iterator[list[tuple[int, int]]]:
    if len(anchors) == 1:
        yield from [[]] if answer == anchors[0] else []
        return
    first, *between, last = anchors
    stop = len(answer) - len(last)
    if answer.startswith(first) and answer.endswith(last) and stop >= len(first):
        yield from _placed(between, answer, len(first), stop)


def _placed(
    anchors: Sequence[str], answer: str, at: int, stop: int
) -> Iterator[list[tuple[int, int]]]:
    if not anchors:
        yield [(at, stop)]
        return
    anchor, *rest = anchors
    begins = answer.find(anchor, at, stop)
    while begins >= 0:
        # Both the regions and what stands between them consist of lines.
        if begins == at or answer[begins - 1] == "\n":
            for spans in _placed(rest, answer, begins + len(anchor), stop):
                yield [(at, begins), *spans]
        begins = answer.find(anchor, begins + 1, stop)


def lost(part: ResolvedPart) -> Iterator[tuple[str, list[str]]]:
    """Each side that is not accounted for, with the lines in question: those that it added and that
    are not there, and those that it removed and that are. Indentation counts only for a side that
    changed nothing else: what the other side put around it may move it."""
    region = part.region
    for name, side, other in (
        ("the new base", region.onto, region.branch),
        ("the branch", region.branch, region.onto),
    ):
        exact = _lines(side) == _lines(region.base)
        base, own, others, here = (
            Counter(_lines(text, exact=exact)) for text in (region.base, side, other, part.text)
        )
        changed_by_both = [*(base - own - others).elements()]
        missing = [
            line
            for line in ((own - base) - here).elements()
            if not _combined(line, changed_by_both, here)
        ]
        # What the other side added may be the same line.
        back = ((base - own) & here) - (others - base)
        if lines := [*missing, *back.elements()]:
            yield name, lines


def _combined(line: str, changed_by_both: Sequence[str], here: Iterable[str]) -> bool:
    """Whether a line, which is not there, is a change of one that the other side changed as well,
    and some line that is there has all that it brought."""
    for base in changed_by_both:
        if SequenceMatcher(None, base, line).ratio() < ALIKE:
            continue
        brought = _words(line) - _words(base)
        if brought and any(brought <= _words(kept) for kept in here):
            return True
    return False


def _words(line: str) -> Counter[str]:
    return Counter(_WORD.findall(line))


def _lines(text: str, *, exact: bool = False) -> list[str]:
    return [line if exact else line.strip() for line in text.splitlines() if line.strip()]


def _dropped(region: ConflictRegion, side: str, lines: Sequence[str]) -> str:
    shown = "; ".join(repr(line[:80]) for line in lines[:_NAMED])
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return (
        f"at line {region.line} the change of {side} is lost, and no reason is given: {shown}{more}"
    )


def _filled(pieces: Sequence[str | ConflictRegion], side: Callable[[ConflictRegion], str]) -> str:
    return "".join(piece if isinstance(piece, str) else side(piece) for piece in pieces)


def form_problems(answer: str, onto: str, branch: str) -> Iterator[str]:
    """What a text has that no resolution has, unless a side has it, too."""
    if not answer.strip() and (onto.strip() or branch.strip()):
        yield "it is empty"
        return
    for what, pattern in (("conflict markers", _MARKER), ("a code fence around it", _FENCE)):
        if pattern.search(answer) and not (pattern.search(onto) or pattern.search(branch)):
            yield f"it has {what}"
    if "\0" in answer:
        yield "it has bytes that are not text"


def _size(pieces: Sequence[str | ConflictRegion], answer: str) -> Iterator[str]:
    regions = [piece for piece in pieces if isinstance(piece, ConflictRegion)]
    agreed = sum(len(piece) for piece in pieces if isinstance(piece, str))
    sides = sum(len(region.onto) + len(region.branch) for region in regions)
    if len(answer) > agreed + ROOM * sides + LEAST_ROOM:
        yield "it is much longer than both sides together"
    if len(answer) < agreed:
        yield "it is cut short: it lacks text on which both sides agree"


def syntax_problems(path: str, answer: str, sides: Sequence[str]) -> Iterator[str]:
    """Whether a text cannot be parsed, although the sides can."""
    check = _CHECKS.get(PurePosixPath(path).suffix.lower())
    if check is None or any(_wrong(check, side) for side in sides):
        return
    if why := _wrong(check, answer):
        yield f"both sides can be parsed, and it cannot: {why}"


def _wrong(check: Callable[[str], object], text: str) -> str | None:
    try:
        check(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, yaml.YAMLError) as error:
        return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return None


def _yaml(text: str) -> None:
    # Parsed into events only: no object is made of what a repository wrote.
    for _ in yaml.parse(text, Loader=yaml.SafeLoader):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        pass


def lock_problem(path: str, text: str) -> str | None:
    """What is wrong with a lock file that a program wrote."""
    name = PurePosixPath(path).name
    if _MARKER.search(text):
        return "it has conflict markers"
    is_json = name.endswith(".json") or name in _JSON_LOCKS
    check = json.loads if is_json else tomllib.loads if name in _TOML_LOCKS else None
    why = _wrong(check, text) if check else None
    return f"it cannot be parsed: {why}" if why else None


_JSON_LOCKS = frozenset({"Pipfile.lock", "composer.lock"})
_TOML_LOCKS = frozenset({"Cargo.lock", "poetry.lock", "uv.lock"})
_CHECKS: Mapping[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def judge_files(
    conflicts: Mapping[str, Sequence[str | ConflictRegion]],
    answers: Mapping[str, str],
    changed: Sequence[str],
    reasons: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Resolution]:
    """Judge the answers for several files. `changed` are all files that the resolver touched."""
    verdicts = {
        path: judge(path, pieces, answers[path], (reasons or {}).get(path))
        if path in answers
        else Resolution(("it is not resolved",))
        for path, pieces in conflicts.items()
    }
    others = {
        path: Resolution(("it was not in conflict, and was changed",))
        for path in changed
        if path not in conflicts
    }
    return {**verdicts, **others}
