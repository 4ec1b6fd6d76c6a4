"""Describes the conflicts that an agent resolves. Pure.

Everything in it was written by other people or by other agents: it is quoted line by line, so that
nothing of it reads like an instruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rover_mcp.domain.conflicted_file import ConflictRegion
from rover_mcp.domain.text import one_line, plain, visible_line

MOST_CHARACTERS = 60_000
"""Of the whole report: the files themselves hold everything."""
MOST_LINES = 60
"""Of one side of a place."""
MOST_OF_MESSAGE = 600
MOST_PROBLEMS = 20
MOST_PRINTED = 4000
MOST_OF_RESOLUTIONS = 8000
"""Characters of a check's output, and of the resolutions that it failed on."""


@dataclass(frozen=True)
class BlamedCommit:
    """A commit that made lines of a place what they are."""

    commit: str
    author: str
    message: str


@dataclass(frozen=True)
class ReportedFile:
    """A file in conflict. `onto_blame` and `branch_blame` name, for each region, the commits that
    changed its lines on either side."""

    path: str
    regions: Sequence[ConflictRegion]
    onto_blame: Sequence[Sequence[str]] = ()
    branch_blame: Sequence[Sequence[str]] = ()
    commits: Mapping[str, BlamedCommit] = field(default_factory=dict[str, BlamedCommit])


def report(
    commit: BlamedCommit, base_branch: str, files: Sequence[ReportedFile], choices: str = ""
) -> str:
    """The conflicts of the replayed `commit` with its new base, as part of a prompt. `choices`
    describes those for which a side is chosen."""
    text = "\n".join(_lines(commit, base_branch, files)) + (f"\n{choices}" if choices else "")
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}\n[The rest is left out here; the files hold all of it.]"


def _lines(commit: BlamedCommit, base_branch: str, files: Sequence[ReportedFile]) -> Iterator[str]:
    yield "The commit of the branch that is replayed:"
    yield from _quoted(_described(commit))
    known = {name: one for file in files for name, one in file.commits.items()}
    for file in files:
        count = len(file.regions)
        places = "1 place" if count == 1 else f"{count} places"
        yield f"\n## {visible_line(file.path)}: {places}"
        for number, region in enumerate(file.regions):
            yield from _place(file, number, region, base_branch)
    if known:
        yield "\n## The commits that are named above"
        for one in known.values():
            yield ""
            yield from _quoted(_described(one))


def _place(
    file: ReportedFile, number: int, region: ConflictRegion, base_branch: str
) -> Iterator[str]:
    yield f"\nPlace {number + 1}. It was:"
    yield from _quoted(region.base)
    for side, text, blame in (
        (f"The new base ({base_branch}) has", region.onto, file.onto_blame),
        ("The branch has", region.branch, file.branch_blame),
    ):
        commits = blame[number] if number < len(blame) else ()
        by = f", by {', '.join(name[:10] for name in commits)}" if commits else ""
        yield f"{side}{by}:"
        yield from _quoted(text)


def _described(commit: BlamedCommit) -> str:
    message = commit.message.strip()[:MOST_OF_MESSAGE]
    return f"{commit.commit[:10]} by {visible_line(commit.author)}\n{message}"


def _quoted(text: str, *, from_end: bool = False) -> Iterator[str]:
    lines = plain(text).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        yield "    (nothing)"
    for line in lines[-MOST_LINES:] if from_end else lines[:MOST_LINES]:
        yield f"    | {line}"
    if len(lines) > MOST_LINES:
        yield f"    [{len(lines) - MOST_LINES} more lines]"


def problem_report(problems: Mapping[str, Sequence[str]]) -> str:
    """Why an answer did not count, as part of a prompt."""
    lines = [f"- {visible_line(p)}: {plain(why)}" for p, every in problems.items() for why in every]
    more = f"\n- and {len(lines) - MOST_PROBLEMS} more" if len(lines) > MOST_PROBLEMS else ""
    return "\n".join(lines[:MOST_PROBLEMS]) + more


def check_report(code: str, printed: str, resolutions: str) -> str:
    """That the project's check fails on a result, as part of a prompt."""
    tail = plain(printed)[-MOST_PRINTED:]
    return "\n".join(
        [
            "- All conflicts were resolved once, and the project's check fails on the result (exit "
            f"status {code}). Resolve them again, so that it succeeds. The end of what it printed:",
            *_quoted(tail, from_end=True),
            "- The resolutions that it failed on, which no longer count:",
            *_quoted(resolutions[:MOST_OF_RESOLUTIONS]),
        ]
    )


def reasons_of(text: str) -> dict[str, str]:
    """The reasons in an agent's words, by the line that was given up: `the line -> the reason`."""
    reasons: dict[str, str] = {}
    for line in text.splitlines():
        given_up, arrow, reason = line.strip().removeprefix("- ").rpartition(" -> ")
        if arrow and reason.strip():
            reasons[given_up.strip().strip("`").strip()] = one_line(reason)[:300]
    return reasons
