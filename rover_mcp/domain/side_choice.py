"""Conflicts that no text of both sides resolves: one side deleted or renamed a file that the other
one has, or has a folder in its place, or it is a binary file, a symbolic link, a mode or a
submodule. Each is resolved by a choice, which is judged here. Pure.

An answer has a line for each such file: `the path -> base: the reason`. `base` is what the new base
has there, `branch` what the branch has; where that side has no such file, it is gone. `file` is the
text in the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rover_mcp.domain.resolution import Resolution, form_problems, syntax_problems
from rover_mcp.domain.text import one_line, visible_line

MOST_OF_REASON = 300
FILE_OR_FOLDER = "file/folder"
"""The kind of a path at which one side has a file and the other one a folder."""


class Side(StrEnum):
    """What a choice can name."""

    BASE = "base"
    BRANCH = "branch"
    FILE = "file"


NAMES = {Side.BASE: "the new base", Side.BRANCH: "the branch"}


@dataclass(frozen=True)
class FileAnswer:
    """How a file in conflict is resolved: by a text, or by what a side has."""

    text: str = ""
    side: Side = Side.FILE


@dataclass(frozen=True)
class SideContent:
    """What one side has at a path. `text` is None where that is not UTF-8 text of bearable size, or
    not a regular file; `shown` describes it for people and agents."""

    text: str | None
    shown: str
    is_folder: bool = False


@dataclass(frozen=True)
class ChoiceConflict:
    """A file to choose a side for. A side is None where it has no such file. `begun` is the text
    that the folder has to begin with."""

    path: str
    kind: str
    base: SideContent | None
    branch: SideContent | None
    begun: str | None = None

    def of(self, side: Side) -> SideContent | None:
        """What that side has."""
        return self.base if side is Side.BASE else self.branch

    @property
    def allowed(self) -> tuple[Side, ...]:
        """The sides that may be chosen. A text may take the place of any text."""
        has_text = any(side and side.text is not None for side in (self.base, self.branch))
        return (Side.BASE, Side.BRANCH, *((Side.FILE,) if has_text else ()))


@dataclass(frozen=True)
class GivenChoice:
    """A side with the reason for it, as an agent wrote them."""

    side: str
    reason: str


def choices_of(text: str) -> dict[str, GivenChoice]:
    """The choices in an agent's words, by path."""
    choices: dict[str, GivenChoice] = {}
    for line in text.splitlines():
        path, arrow, rest = line.strip().removeprefix("- ").rpartition(" -> ")
        side, _, reason = rest.partition(":")
        if arrow:
            words = one_line(reason)[:MOST_OF_REASON]
            choices[path.strip().strip("`")] = GivenChoice(side.strip().strip("`"), words)
    return choices


def judge_choices(
    conflicts: Mapping[str, ChoiceConflict],
    given: Mapping[str, GivenChoice],
    texts: Mapping[str, str | None],
    changed: Collection[str],
    groups: Sequence[Collection[str]] = (),
) -> tuple[dict[str, Resolution], dict[str, FileAnswer]]:
    """The verdict on each choice, and the answers of those that count. `texts` has what the folder
    has at each path, None where that is not text or nothing; `changed` are the paths at which it is
    not what it was. Of each of the `groups`, which are names of one file, one has to stay."""
    verdicts: dict[str, Resolution] = {}
    answers: dict[str, FileAnswer] = {}
    for path, conflict in conflicts.items():
        choice = given.get(visible_line(path)) or given.get(path)
        text = texts.get(path)
        problems = tuple(_problems(conflict, choice, text, is_changed=path in changed))
        verdicts[path] = Resolution(problems)
        if choice is not None and not problems:
            side = Side(choice.side)
            answers[path] = FileAnswer(text or "" if side is Side.FILE else "", side)
            verdicts[path] = Resolution((), (_given_up(side, choice.reason),))
    for group in groups:
        if answers.keys() >= set(group) and not any(
            _stays(conflicts[p], answers[p]) for p in group
        ):
            for path in group:
                verdicts[path] = Resolution(("by these choices none of the names is left",))
    verdicts |= _in_replaced_folders(conflicts, answers)
    return verdicts, answers


def _in_replaced_folders(
    conflicts: Mapping[str, ChoiceConflict], answers: Mapping[str, FileAnswer]
) -> dict[str, Resolution]:
    """The verdicts on what would stay in a folder in whose place a file is chosen."""
    verdicts: dict[str, Resolution] = {}
    for path, answer in answers.items():
        content = conflicts[path].of(answer.side)
        if conflicts[path].kind != FILE_OR_FOLDER or not content or content.is_folder:
            continue
        for other, its in answers.items():
            if other.startswith(f"{path}/") and _stays(conflicts[other], its):
                folder = f"the folder `{visible_line(path)}`"
                why = f"it is to stay in {folder}, for which a file is chosen"
                verdicts[other] = Resolution((why,))
    return verdicts


def _stays(conflict: ChoiceConflict, answer: FileAnswer) -> bool:
    return answer.side is Side.FILE or conflict.of(answer.side) is not None


def _given_up(side: Side, reason: str) -> str:
    if side is Side.FILE:
        return f"both sides, for another text ({reason})"
    return f"{NAMES[Side.BRANCH if side is Side.BASE else Side.BASE]}: what it has here ({reason})"


def _problems(
    conflict: ChoiceConflict, choice: GivenChoice | None, text: str | None, *, is_changed: bool
) -> Iterator[str]:
    words = ", ".join(f"`{side}`" for side in conflict.allowed)
    line = f"`{visible_line(conflict.path)} -> <{words}>: <the reason>`"
    if choice is None:
        yield f"nothing is chosen for it: `choices` needs the line {line}"
        return
    if choice.side not in conflict.allowed:
        yield f"{choice.side[:40]!r} cannot be chosen: {line}"
        return
    if not choice.reason:
        yield f"the choice has no reason: {line}"
    if choice.side == Side.FILE:
        yield from _text_problems(conflict, text)
        return
    chosen = conflict.of(Side(choice.side))
    if is_changed and not (text is None and chosen is None) and (not chosen or text != chosen.text):
        yield (
            f"it was changed, and that is not what `{choice.side}` means; leave it as it was"
            + (", or choose `file`" if Side.FILE in conflict.allowed else "")
        )
    if chosen and chosen.text is not None and any(form_problems(chosen.text, "", "")):
        yield "what that side has still has conflict markers: edit the file and choose `file`"


def _text_problems(conflict: ChoiceConflict, text: str | None) -> Iterator[str]:
    if text is None:
        yield "`file` is chosen, but the folder has no UTF-8 text at this path"
        return
    sides = [side.text for side in (conflict.base, conflict.branch) if side and side.text]
    yield from form_problems(text, *[*sides, "", ""][:2])
    yield from syntax_problems(conflict.path, text, sides)


def choice_report(conflicts: Sequence[ChoiceConflict], base_branch: str) -> str:
    """These conflicts as part of a prompt; what others wrote stands behind a bar."""
    return "\n".join(line for conflict in conflicts for line in _described(conflict, base_branch))


def _described(conflict: ChoiceConflict, base_branch: str) -> Iterator[str]:
    yield f"\n## {visible_line(conflict.path)}: {conflict.kind}. Choose one of these in `choices`:"
    for side, name in ((Side.BASE, f"the new base ({base_branch})"), (Side.BRANCH, "the branch")):
        content = conflict.of(side)
        yield f"`{side}`, as {name} has it: {content.shown if content else 'there is no such file'}"
    if Side.FILE in conflict.allowed:
        yield "`file`, the text that you leave in the folder"
