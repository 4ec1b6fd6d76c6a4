"""The section of a report with the changes: hand-off files first, then the others, each folded,
with the colours of its language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from rover_mcp.domain.text import visible, visible_line
from rover_mcp.pages.highlight import code_lines, lexer_for
from rover_mcp.report.patch_parts import PatchFile, PatchLine, patch_files
from rover_mcp.report.section_budget import SectionBudget

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LINE_SHOWN: Final = 500
MOST_COLOURED: Final = 100_000
"""Characters that are coloured; the rest of a large change is shown without colours."""
OPEN_FILES: Final = 6
OPEN_LINES: Final = 120
"""The first files are unfolded while they are short."""
_CLASS: Final = {"added": "a", "removed": "r", "context": "", "hunk": "h", "note": "h"}
_BLOCKS: Final = {"removed": "old", "hunk": "hunk", "note": "hunk"}
LINES_AT_ONCE: Final = 100
_MARKS: Final = {"added": "+", "removed": "−", "context": "", "hunk": "", "note": ""}


@dataclass(frozen=True)
class FileSection:
    """One file as the page shows it. `run_by` is the program of the user's that may run it."""

    path: str
    added: int
    removed: int
    run_by: str | None
    notes: list[str]
    rows: Markup
    rows_left_out: int
    unfolded: bool


def file_sections(
    patch: str, run_by: Mapping[str, str], budget: SectionBudget
) -> Iterator[FileSection]:
    """The files of a patch, those that a program of the user's may run first."""
    files = list(patch_files(patch))
    files.sort(key=lambda file: file.path not in run_by)
    coloured = 0
    for place, file in enumerate(files):
        colours = coloured < MOST_COLOURED
        rows, left_out = _rows(file, budget, colours=colours)
        coloured += sum(len(line.text) for line in file.lines) if colours else 0
        runner = run_by.get(file.path)
        yield FileSection(
            visible_line(file.path)[:LINE_SHOWN],
            file.added,
            file.removed,
            runner,
            [visible_line(note)[:LINE_SHOWN] for note in file.notes[:10]],
            rows,
            left_out,
            unfolded=place < OPEN_FILES and len(file.lines) <= OPEN_LINES,
        )


def _rows(file: PatchFile, budget: SectionBudget, *, colours: bool) -> tuple[Markup, int]:
    lexer = lexer_for(file.path) if colours else None
    html, count = budget.fitting(_each_row(file, lexer))
    return html, len(file.lines) - count


def _each_row(file: PatchFile, lexer: Lexer | None) -> Iterator[Markup]:
    # Together: a word in quotation marks may go over several lines.
    for side, group in groupby(file.lines, key=lambda line: _BLOCKS.get(line.side, "code")):
        lines = list(group)
        # In parts, since nothing behind the end of the section needs its colours.
        for start in range(0, len(lines), LINES_AT_ONCE):
            part = lines[start : start + LINES_AT_ONCE]
            texts = [_shown(line.text) for line in part]
            shown = code_lines(lexer if side != "hunk" else None, texts)
            yield from (_row(line, html) for line, html in zip(part, shown, strict=True))


def _shown(text: str) -> str:
    more = len(text) - LINE_SHOWN
    return visible(text[:LINE_SHOWN]) + (f" [{more:,} more characters]" if more > 0 else "")


_ROW: Final = Markup("<tr{}><td>{}<td>{}<td>{}<td>{}")


def _row(line: PatchLine, html: Markup) -> Markup:
    name = _CLASS[line.side]
    of_class = Markup(" class={}").format(name) if name else Markup("")
    numbers = ("" if n is None else n for n in (line.old, line.new))
    return _ROW.format(of_class, *numbers, _MARKS[line.side], html)
