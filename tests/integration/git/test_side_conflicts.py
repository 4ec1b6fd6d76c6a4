"""Conflicts that no text of both sides resolves, as git leaves them: each is described, an agent's
choice is judged, and the tree that it makes has what was chosen (N2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

import pytest

from rover_mcp.daemon.judge_stop import AgentWords, faced_conflicts, judge_stop
from rover_mcp.domain.side_choice import FileAnswer, Side, choice_report
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.rebase_branch import writing
from rover_mcp.git.replay import Git, Replay, ReplayStop, own_commits
from rover_mcp.git.repository_view import opened
from rover_mcp.git.resolved_stops import ResolvedStops, conflict_key
from tests.integration.git.conftest import git
from tests.integration.git.test_conflicts import (
    LONG,
    Edit,
    forked,
    links,
    moves,
    removes,
    writes,
)
from tests.integration.git.test_rebase import BRANCH

CHANGED = LONG.replace("line 5\n", "changed 5\n")


def both(*edits: Edit) -> Edit:
    def edit(repo: Path) -> None:
        for one in edits:
            one(repo)

    return edit


def module(commit: str) -> Edit:
    return lambda repo: git(
        repo, "update-index", "--add", "--cacheinfo", f"160000,{commit * 40},module"
    )


def folder(name: str) -> Edit:
    def edit(repo: Path) -> None:
        (repo / name).unlink(missing_ok=True)
        (repo / name).mkdir()
        (repo / name / "inside").write_text("in\n")
        (repo / name / "two").write_text("two\n")

    return edit


def removes_folder(name: str) -> Edit:
    return lambda repo: rmtree(repo / name)


def executable(name: str, content: str) -> Edit:
    def edit(repo: Path) -> None:
        (repo / name).write_text(content)
        (repo / name).chmod(0o755)

    return edit


NOTHING: Edit = lambda _: None  # noqa: E731
KEEP, DROP = "branch: the task needs it", "base: main moved it elsewhere"
CASES: Mapping[str, tuple[Edit, Edit, Edit, Mapping[str, str], Mapping[str, str | None]]] = {
    "deleted by main, kept": (
        writes("f", LONG), writes("f", CHANGED), removes("f"), {"f": KEEP}, {"f": CHANGED},
    ),
    "deleted by main, deleted": (
        writes("f", LONG), writes("f", CHANGED), removes("f"), {"f": DROP}, {"f": None},
    ),
    "deleted by the task, deleted": (
        writes("f", LONG), removes("f"), writes("f", CHANGED), {"f": KEEP}, {"f": None},
    ),
    "renamed by the task, kept": (
        writes("f", LONG), moves("f", "g"), removes("f"), {"g": KEEP}, {"g": LONG, "f": None},
    ),
    "renamed and changed by the task, deleted": (
        writes("f", LONG), both(removes("f"), writes("g", CHANGED)), removes("f"), {"g": DROP},
        {"g": None, "f": None},
    ),
    "renamed by both, main's name": (
        writes("f", LONG), moves("f", "g"), moves("f", "h"), {"g": DROP, "h": DROP},
        {"f": None, "g": None, "h": LONG},
    ),
    "renamed by both, both names": (
        writes("f", LONG), moves("f", "g"), moves("f", "h"), {"g": KEEP, "h": DROP},
        {"f": None, "g": LONG, "h": LONG},
    ),
    "binary": (
        writes("f", b"\0a"), writes("f", b"\0task"), writes("f", b"\0main"), {"f": KEEP},
        {"f": "\0task"},
    ),
    "main's folder, the file": (
        writes("f", LONG), writes("f", CHANGED), folder("f"), {"f": KEEP},
        {"f": CHANGED, "f/inside": None, "f/two": None},
    ),
    "main's folder, the folder": (
        writes("f", LONG), writes("f", CHANGED), folder("f"), {"f": DROP},
        {"f/inside": "in\n", "f/two": "two\n"},
    ),
    "the task's folder, the folder": (
        writes("f", LONG), folder("f"), writes("f", CHANGED), {"f": KEEP},
        {"f/inside": "in\n", "f/two": "two\n"},
    ),
    "a folder with another link in its place": (
        writes("a", "x"), links("f", "a"), folder("f"), {"f": KEEP},
        {"f": "a", "f/inside": None, "f/two": None},
    ),
    "a folder in which something was changed, the file": (
        folder("f"), both(removes_folder("f"), writes("f", LONG)), writes("f/inside", "main\n"),
        {"f": KEEP, "f/inside": KEEP}, {"f": LONG, "f/inside": None, "f/two": None},
    ),
    "a folder in which something was changed, the folder": (
        folder("f"), both(removes_folder("f"), writes("f", LONG)), writes("f/inside", "main\n"),
        {"f": DROP, "f/inside": DROP}, {"f/inside": "main\n", "f/two": None},
    ),
    "a link": (links("f", "a"), links("f", "task"), links("f", "main"), {"f": DROP}, {"f": "main"}),
    "a mode": (
        NOTHING, executable("f", "1\n"), writes("f", "1\n"), {"f": KEEP}, {"f": "1\n"},
    ),
}  # fmt: skip


def stop_of(run: Git, repo: Path) -> ReplayStop:
    with opened(repo) as view:
        onto, at = tip(view, "main") or "", tip(view, BRANCH) or ""
    base = git(repo, "merge-base", "main", BRANCH)
    stop = Replay(run).run(own_commits(run, at, onto, base), onto, at).stop
    assert stop is not None
    return stop


def chosen(choices: Mapping[str, str]) -> AgentWords:
    return AgentWords("", "\n".join(f"{path} -> {how}" for path, how in choices.items()))


def as_begun(run: Git, stop: ReplayStop, path: str) -> bytes | None:
    """A file as the sandbox begins with it, and as an agent leaves it that only chooses."""
    mode = run(["ls-tree", stop.tree, path]).text[:6]
    shown = run(["cat-file", "blob", f"{stop.tree}:{path}"])
    return shown.stdout if shown.code == 0 and mode.startswith("100") else None


@pytest.mark.parametrize("case", CASES)
def test_what_is_chosen_is_what_the_commit_has(repo: Path, case: str) -> None:
    """N2."""
    base, task, main, choices, expected = CASES[case]
    repo = forked(repo, base, task, main)
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        faced = faced_conflicts(run, stop)
        assert not faced.unresolvable
        assert faced.choices.keys() == choices.keys()
        verdicts, answers = judge_stop(
            run, stop, lambda p: as_begun(run, stop, p), [], chosen(choices)
        )
        assert [v.problems for v in verdicts.values()] == [()] * len(choices)
        assert all(answer.given_up for answer in answers.values()), "a person sees what is lost"
        kept = {
            conflict_key(stop, path): FileAnswer(one.text, one.side)
            for path, one in answers.items()
        }
        tree = ResolvedStops(run, kept.get)(stop)
        assert tree is not None
        for path, content in expected.items():
            shown = run(["cat-file", "blob", f"{tree}:{path}"])
            assert (shown.stdout.decode() if shown.code == 0 else None) == content, path
        if case == "a mode":
            assert run(["ls-tree", tree, "f"]).text.startswith("100755")


@pytest.mark.parametrize("case", CASES)
def test_without_a_choice_or_a_reason_nothing_counts(repo: Path, case: str) -> None:
    """N2."""
    base, task, main, choices, _ = CASES[case]
    repo = forked(repo, base, task, main)
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        for bad in ({}, dict.fromkeys(choices, "base:"), dict.fromkeys(choices, "theirs: mine")):
            verdicts, answers = judge_stop(
                run, stop, lambda p: as_begun(run, stop, p), [], chosen(bad)
            )
            assert all(v.problems for v in verdicts.values())
            assert answers == {}


def test_a_submodule_is_at_the_chosen_commit(repo: Path) -> None:
    """N2."""

    def committed(edit: Edit) -> None:
        edit(repo)
        git(repo, "commit", "-qm", "module")

    committed(module("1"))
    git(repo, "switch", "-qc", BRANCH)
    committed(module("2"))
    git(repo, "switch", "-q", "main")
    committed(module("3"))
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        assert not faced_conflicts(run, stop).unresolvable
        _, answers = judge_stop(run, stop, lambda _: None, [], chosen({"module": KEEP}))
        one = answers["module"]
        kept = {conflict_key(stop, "module"): FileAnswer(one.text, one.side)}
        tree = ResolvedStops(run, kept.get)(stop) or ""
        assert "2" * 40 in run(["ls-tree", tree, "module"]).text


def test_a_text_may_take_the_place_of_a_deleted_file(repo: Path) -> None:
    """N2: it is judged as a resolved text is."""
    repo = forked(repo, writes("f.py", LONG), writes("f.py", CHANGED), removes("f.py"))
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        words = chosen({"f.py": "file: main has the first half elsewhere"})
        for content, problem in (
            (b"<<<<<<< main\nx\n", "it has conflict markers"),
            (b"", "it is empty"),
            (None, "has no UTF-8 text at this path"),
            (b"\xff", "has no UTF-8 text at this path"),
        ):
            verdicts, answers = judge_stop(run, stop, lambda _, c=content: c, ["f.py"], words)
            assert problem in str(verdicts["f.py"].problems)
            assert answers == {}
        _, answers = judge_stop(run, stop, lambda _: b"line 40\n", ["f.py"], words)
        kept = {conflict_key(stop, "f.py"): FileAnswer(answers["f.py"].text)}
        tree = ResolvedStops(run, kept.get)(stop)
        assert run(["cat-file", "blob", f"{tree}:f.py"]).stdout == b"line 40\n"


def test_an_edit_that_contradicts_the_choice_is_refused(repo: Path) -> None:
    """N2."""
    repo = forked(repo, writes("f", LONG), writes("f", CHANGED), removes("f"))
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        for how in (KEEP, DROP):
            verdicts, _ = judge_stop(run, stop, lambda _: b"other\n", ["f"], chosen({"f": how}))
            assert "it was changed" in str(verdicts["f"].problems)
        verdicts, _ = judge_stop(run, stop, lambda _: None, ["f"], chosen({"f": DROP}))
        assert verdicts["f"].problems == (), "it deleted what it chose to delete"


def test_one_of_two_names_has_to_stay(repo: Path) -> None:
    """N2."""
    repo = forked(repo, writes("f", LONG), moves("f", "g"), moves("f", "h"))
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        verdicts, _ = judge_stop(
            run, stop, lambda p: as_begun(run, stop, p), [], chosen({"g": DROP, "h": KEEP})
        )
        assert "none of the names is left" in str(verdicts["g"].problems)


def test_the_report_says_what_each_side_has(repo: Path) -> None:
    """N2: what others wrote stands behind a bar."""
    repo = forked(repo, writes("f", LONG), writes("f", CHANGED), removes("f"))
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        text = choice_report([*faced_conflicts(run, stop).choices.values()], "main")
    assert "## f: modify/delete. Choose one of these in `choices`:" in text
    assert "`base`, as the new base (main) has it: there is no such file" in text
    assert "    | -line 5\n    | +changed 5\n" in text


def test_a_file_and_what_is_in_its_place_are_not_both_chosen(repo: Path) -> None:
    """N2: neither by one answer, nor by answers that were given at different stops."""
    base, task, main, *_ = CASES["a folder in which something was changed, the file"]
    repo = forked(repo, base, task, main)
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        words = chosen({"f": KEEP, "f/inside": DROP})
        verdicts, _ = judge_stop(run, stop, lambda p: as_begun(run, stop, p), [], words)
        assert "for which a file is chosen" in str(verdicts["f/inside"].problems)
        sides = {"f": Side.BRANCH, "f/inside": Side.BASE}
        kept = {conflict_key(stop, path): FileAnswer("", side) for path, side in sides.items()}
        assert ResolvedStops(run, kept.get)(stop) is None


def test_an_answer_for_a_folder_does_not_count_for_another_one(repo: Path) -> None:
    """N2: what came into it since was not seen when the file was chosen."""
    repo = forked(repo, writes("f", LONG), writes("f", CHANGED), folder("f"))
    with opened(repo) as view, writing(view, keep=False) as run:
        before = conflict_key(stop_of(run, repo), "f")
        (repo / "f/three").write_text("new\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "main's again")
        assert conflict_key(stop_of(run, repo), "f") != before


def test_the_report_names_the_files_of_a_folder(repo: Path) -> None:
    """N2"""
    repo = forked(repo, writes("f", LONG), writes("f", CHANGED), folder("f"))
    with opened(repo) as view, writing(view, keep=False) as run:
        stop = stop_of(run, repo)
        text = choice_report([*faced_conflicts(run, stop).choices.values()], "main")
    assert "`base`, as the new base (main) has it: a folder with these files:\n    | inside" in text
    assert f"(in your folder it is at {stop.aside['f']})" in text
    assert "`file`" not in text
