"""The text of a review: the diff in quotes, as in a mail, and between its lines what the reviewer
writes. Pure functions; the diff is untrusted, and so is what an editor made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rover_mcp.domain.text import visible_line, visible_patch

QUOTE = ">"
MAX_COMMENTS = 200
MAX_COMMENT = 10_000
MAX_INSTRUCTIONS = 50_000
SHOWN = 80
"""Characters of a line that an error shows."""
HELP = """\
# {title}
#
# Write beneath a line of the diff what you have to say about it; beneath the
# name of a file, about that file; here, above the diff, about all of it.
# Leave the lines that begin with ">" as they are. Save and close the editor
# to send it; change nothing, and nothing is sent.
"""
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPES = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f",
            b"v": b"\v"}  # fmt: skip
_BINARY = "GIT binary patch"


@dataclass(frozen=True)
class DiffLine:
    """A line of the diff, and what a comment beneath it is about: a file, and there a line of its
    new side, or one that was removed."""

    text: str
    file: str = ""
    line: int | None = None
    removed: str | None = None


@dataclass(frozen=True)
class InlineComment:
    """What a reviewer says about a file, or a line of it."""

    file: str
    line: int | None
    text: str


@dataclass(frozen=True)
class Review:
    """What was written: about all of it, and about its lines."""

    instructions: str
    comments: Sequence[InlineComment]


class DamagedReview(ValueError):
    """The text is not the diff with comments any more. The message names the line."""


def diff_lines_of(patch: str) -> list[DiffLine]:
    """The lines of a patch that git wrote, ready to be shown; contents of binary files are left
    out."""
    return list(_Positions().read(patch.removesuffix("\n").split("\n"))) if patch else []


def review_text(title: str, diff: Sequence[DiffLine]) -> str:
    """The text that a reviewer opens."""
    head = HELP.format(title=visible_line(title))
    return "".join([head, "\n", *(f"{_quoted(one)}\n" for one in diff)])


def parse_review(diff: Sequence[DiffLine], text: str) -> Review:
    """What the reviewer wrote between the lines of the diff.

    Raises:
        DamagedReview: a quoted line was changed, removed or added, or a comment is too long.
    """
    helped = {line for line in HELP.splitlines() if not line.endswith("{title}")}
    blocks: list[tuple[DiffLine | None, list[str]]] = [(None, [])]
    for number, raw in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        line = raw.rstrip()
        if line.startswith(QUOTE):
            at = len(blocks) - 1
            _check_quoted(diff[at] if at < len(diff) else None, line, number)
            blocks.append((diff[at], []))
        elif len(blocks) > 1 or not _is_help(line, number, helped):
            blocks[-1][1].append(line)
    if len(blocks) <= len(diff):
        missing = diff[len(blocks) - 1].text[:SHOWN]
        raise DamagedReview(f"the end of the diff is missing, from this line: {missing}")
    (_, general), *rest = blocks
    comments = [_comment(line, words) for line, words in rest if line and _joined(words)]
    return _checked(Review(_joined(general), comments))


def _is_help(line: str, number: int, helped: set[str]) -> bool:
    return line in helped or (number == 1 and line.startswith("# "))


def _check_quoted(expected: DiffLine | None, line: str, number: int) -> None:
    if expected is not None and line == _quoted(expected):
        return
    about = f"line {number} begins with > and is not the diff's: {line[:SHOWN]}"
    if expected is not None:
        about += f"; the diff has here: {_quoted(expected)[:SHOWN]}"
    raise DamagedReview(about)


# Editors that cut blanks at the end of a line are common, so these do not count.
def _quoted(line: DiffLine) -> str:
    return f"{QUOTE} {line.text}".rstrip()


def _joined(words: Sequence[str]) -> str:
    return "\n".join(words).strip()


def _comment(line: DiffLine, words: Sequence[str]) -> InlineComment:
    text = _joined(words)
    if line.removed is not None:
        text = f"(on the removed line: {line.removed}) {text}"
    return InlineComment(line.file, line.line, text)


def _checked(review: Review) -> Review:
    if len(review.instructions) > MAX_INSTRUCTIONS:
        raise DamagedReview(f"the text above the diff has more than {MAX_INSTRUCTIONS} characters")
    if len(review.comments) > MAX_COMMENTS:
        raise DamagedReview(f"there are more than {MAX_COMMENTS} comments")
    for comment in review.comments:
        if len(comment.text) > MAX_COMMENT:
            place = f"{comment.file}:{comment.line}" if comment.line else comment.file
            raise DamagedReview(f"the comment on {place} has more than {MAX_COMMENT} characters")
    return review


# The header of a hunk says how many lines follow, so that contents which look like headers are
# contents.
class _Positions:
    """Finds the file and the line that each line of a patch is about."""

    def __init__(self) -> None:
        self._file = ""
        self._gone = False
        self._old_left = self._new_left = 0
        self._new = 0
        self._last: tuple[int | None, str | None] = (None, None)

    def read(self, lines: Sequence[str]) -> Iterator[DiffLine]:
        binary = False
        for line in lines:
            if self._old_left or self._new_left or line.startswith("\\"):
                yield self._content(line)
                continue
            if line.startswith("diff --git "):
                binary, self._gone = False, False
                self._file = _path_of_header(line)
            if binary:
                continue
            if line == _BINARY:
                binary = True
                yield DiffLine("(a binary file, whose content is not shown)", self._file)
            elif hunk := _HUNK.match(line):
                yield self._hunk(line, hunk)
            else:
                self._header(line)
                yield DiffLine(_shown(line), self._file)

    def _hunk(self, line: str, hunk: re.Match[str]) -> DiffLine:
        self._old_left, self._new_left = int(hunk[2] or 1), int(hunk[4] or 1)
        self._new = int(hunk[3])
        return DiffLine(_shown(line), self._file, self._place())

    def _header(self, line: str) -> None:
        if line.startswith("deleted file mode"):
            self._gone = True
        for prefix in ("rename to ", "copy to "):
            if line.startswith(prefix):
                self._file = _unquoted(line.removeprefix(prefix))
        if line.startswith("+++ ") and (path := _named(line)):
            self._file = path

    def _content(self, line: str) -> DiffLine:
        kind = line[:1]
        if kind == "\\":
            return DiffLine(_shown(line), self._file, *self._last)
        place, removed = self._place(), None
        if kind == "-":
            removed = _shown(line[1:]).strip()[:SHOWN]
        else:
            self._new += 1
        self._old_left -= kind != "+"
        self._new_left -= kind != "-"
        self._last = (place, removed)
        return DiffLine(_shown(line), self._file, place, removed)

    def _place(self) -> int | None:
        """The line of the new side that comes next; none where the file is deleted."""
        return None if self._gone else max(self._new, 1)


def _shown(line: str) -> str:
    return visible_patch(line)


def _path_of_header(line: str) -> str:
    """The path in `diff --git a/PATH b/PATH`; where the two differ, later lines name them."""
    rest = line.removeprefix("diff --git ")
    if rest.startswith('"'):
        return _unquoted(rest[: len(rest) // 2])[2:]
    return rest[2 : len(rest) // 2]


def _named(line: str) -> str | None:
    name = line[4:].removesuffix("\t")
    return None if name == "/dev/null" else _unquoted(name)[2:]


def _unquoted(name: str) -> str:
    """A path as it is, where git wrote it in quotes with escapes; what is not text is escaped."""
    if len(name) < 2 or not (name.startswith('"') and name.endswith('"')):
        return visible_line(name)
    data = _ESCAPED.sub(_byte, name[1:-1].encode("utf-8", "backslashreplace"))
    return visible_line(data.decode("utf-8", "backslashreplace"))


def _byte(match: re.Match[bytes]) -> bytes:
    word = match[1]
    if len(word) == 3:
        return bytes([int(word, 8) & 0xFF])
    return _ESCAPES.get(word, word)
