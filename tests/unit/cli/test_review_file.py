"""The text of `rover review`: comments are found where they were written, for every diff of git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rover_mcp.cli.review_file import (
    DamagedReview,
    DiffLine,
    InlineComment,
    diff_lines_of,
    parse_review,
    review_text,
)
from rover_mcp.domain.text import visible

PATCH = """\
diff --git a/sum.py b/sum.py
index 1111111..2222222 100644
--- a/sum.py
+++ b/sum.py
@@ -1,3 +1,3 @@ import math
 def total(numbers):
-    return sum(numbers)
+    return numbers[0]
 # end
diff --git a/gone.txt b/gone.txt
deleted file mode 100644
index 1111111..0000000
--- a/gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-kept by mistake
\\ No newline at end of file
"""


def written(patch: str, **after: str) -> tuple[list[DiffLine], str]:
    """The review of a patch with text beneath the lines that have these words (_ for a space)."""
    diff = diff_lines_of(patch)
    lines: list[str] = []
    for line in review_text("Review of task 3: x", diff).splitlines():
        lines.append(line)
        texts = [text for words, text in after.items() if words.replace("_", " ") in line]
        lines += texts if line.startswith(">") else []
    return diff, "\n".join(lines) + "\n"


def test_a_comment_is_about_the_line_above_it() -> None:
    diff, text = written(PATCH, numbers0="x", **{"return numbers": "\nOf none?\nAn error.\n"})
    review = parse_review(diff, text)
    assert review.comments == [InlineComment("sum.py", 2, "Of none?\nAn error.")]
    assert review.instructions == ""


@pytest.mark.parametrize(
    ("words", "line"), [("@@ -1,3", 1), ("def total", 1), ("# end", 3), ("+++ b/sum", None)]
)
def test_a_line_of_the_diff_is_a_line_of_the_new_file(words: str, line: int | None) -> None:
    diff, text = written(PATCH, **{words: "why?"})
    assert parse_review(diff, text).comments == [InlineComment("sum.py", line, "why?")]


def test_a_removed_line_is_quoted_in_the_comment() -> None:
    diff, text = written(PATCH, return_sum="Keep it", kept_by="And this")
    assert parse_review(diff, text).comments == [
        InlineComment("sum.py", 2, "(on the removed line: return sum(numbers)) Keep it"),
        InlineComment("gone.txt", None, "(on the removed line: kept by mistake) And this"),
    ]


def test_text_above_the_diff_is_about_all_of_it() -> None:
    diff, text = written(PATCH)
    above = text.replace("\n>", "\n#12 wants it, too\n>", 1)
    assert parse_review(diff, above).instructions == "#12 wants it, too"


def test_an_editor_may_cut_blanks_and_write_other_line_ends() -> None:
    diff, text = written(PATCH + "@@ -9 +9,2 @@\n \n+  two  \n", two="see")
    cut = "\r\n".join(line.rstrip() for line in text.split("\n")).rstrip()
    assert parse_review(diff, cut) == parse_review(diff, text)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("> -    return sum", "> -    return SUM", r"line 14 begins with >.*the diff has here"),
        (">  def total(numbers):\n", "", "line 13 begins with >"),
        (">  # end\n", ">  # end\n> my own quote\n", "line 17 begins with >"),
        ("> \\ No newline at end of file\n", "", "the end of the diff is missing"),
        (">", "", "begins with >|the end of the diff is missing"),
    ],
)
def test_a_damaged_diff_is_refused_with_its_line(old: str, new: str, why: str) -> None:
    diff, text = written(PATCH)
    assert old in text
    with pytest.raises(DamagedReview, match=why):
        parse_review(diff, text.replace(old, new))


def test_too_long_a_comment_is_refused() -> None:
    diff, text = written(PATCH, **{"# end": "x" * 10_001})
    with pytest.raises(DamagedReview, match=r"the comment on sum.py:3 has more"):
        parse_review(diff, text)


def test_nothing_in_the_diff_reaches_the_terminal_as_a_control() -> None:
    patch = PATCH.replace("# end", "\x1b]0;title\x07\x9b31m\u202e\x0c\u2028end\x85")
    text = review_text("a\x1b[2Jtitle\nof two lines", diff_lines_of(patch))
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x0c", "\u2028", "\x85"} & set(text)
    assert r"\x1b]0;title\x07" in text
    assert parse_review(diff_lines_of(patch), text).comments == []


def test_what_a_file_contains_is_not_taken_for_a_header(tmp_path: Path) -> None:
    hostile = "--- a/x\n+++ b/y\n@@ -1 +1 @@\ndiff --git a/evil b/evil\nGIT binary patch\n"
    patch = git_diff(tmp_path, {"new.txt": b""}, {"new.txt": hostile.encode()})
    diff, text = written(patch, GIT_binary="odd")
    assert parse_review(diff, text).comments == [InlineComment("new.txt", 5, "odd")]
    assert {line.file for line in diff} == {"new.txt"}


@pytest.mark.parametrize(
    ("before", "after", "file"),
    [
        ({"a b.txt": b"1\n"}, {"a b.txt": b"2\n"}, "a b.txt"),
        ({'é\t".txt': b"1\n"}, {'é\t".txt': b"2\n"}, 'é\\t".txt'),
        ({"old": b"1\n2\n3\n4\n"}, {"new b/x": b"1\n2\n3\n4\n"}, "new b/x"),
        ({}, {"empty": b""}, "empty"),
        ({}, {"bin": bytes(range(256))}, "bin"),
    ],
    ids=["spaces", "quoted", "renamed", "empty", "binary"],
)
def test_every_name_that_git_writes_is_understood(
    tmp_path: Path, before: dict[str, bytes], after: dict[str, bytes], file: str
) -> None:
    diff = diff_lines_of(git_diff(tmp_path, before, after))
    assert diff[-1].file == file
    review = parse_review(diff, review_text("x", diff) + "About all of this file\n")
    assert [(c.file, c.text) for c in review.comments] == [(file, "About all of this file")]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, max_size=12), st.lists(TEXT, max_size=12), st.data())
def test_comments_come_back_for_any_content(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str], data: st.DataObject
) -> None:
    """What is written beneath any line of a real diff is found again, with the line's number."""
    contents = ["\n".join(["same", *side, "end"]) for side in (old, new)]
    first, second = ({"f": text.encode()} for text in contents)
    diff = diff_lines_of(git_diff(tmp_path_factory.mktemp("diff"), first, second))
    at = data.draw(st.integers(0, max(len(diff) - 1, 0)))
    lines = [f"> {line.text}" for line in diff]
    lines[at + 1 : at + 1] = ["", "my comment", ""]
    review = parse_review(diff, "\n".join(lines))
    if not diff:
        assert review.instructions == "my comment"
        return
    (comment,) = review.comments
    assert (comment.file, comment.line) == ("f", diff[at].line)
    assert comment.text.endswith("my comment")
    header = next(n for n, one in enumerate(diff) if one.text.startswith("@@"))
    if at > header and diff[at].text[:1] in "+ ":
        shown = visible(contents[1].split("\n")[(diff[at].line or 0) - 1])
        assert diff[at].text[1:].removesuffix("\\r") == shown.removesuffix("\\r")


@given(st.text(max_size=300))
def test_any_text_is_a_review_or_damaged(text: str) -> None:
    diff = diff_lines_of(PATCH)
    try:
        review = parse_review(diff, text + review_text("x", diff))
    except DamagedReview:
        return
    assert len(review.comments) == 0


def git_diff(folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> str:
    """The patch that git makes of two folders of files, as the daemon has it made."""
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    for files in (before, after):
        subprocess.run([*git, "rm", "-rq", "--ignore-unmatch", "."], check=True)
        for name, content in files.items():
            folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            folder.joinpath(name).write_bytes(content)
        subprocess.run([*git, "-c", "core.autocrlf=false", "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "x", "--allow-empty"], check=True)
    shown = subprocess.run(
        [*git, "diff", "--binary", "--full-index", "-M", "HEAD~", "HEAD"],
        check=True, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    return shown.decode("utf-8", "backslashreplace")
