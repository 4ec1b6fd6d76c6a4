"""Stops of a replay with the texts that resolve them, and with the places marked for whoever does."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.domain.side_choice import FileAnswer
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.conflict_blame import described, reported_file
from rover_mcp.git.conflicts import conflict_pieces
from rover_mcp.git.rebase_branch import writing
from rover_mcp.git.replay import Replay, Replayed, own_commits
from rover_mcp.git.repository_view import opened
from rover_mcp.git.resolved_stops import (
    ResolvedStops,
    conflict_key,
    marked_text,
    tree_with,
)
from rover_mcp.git.side_conflicts import stop_kinds, unresolvable
from tests.integration.git.conftest import git
from tests.integration.git.test_conflicts import LONG, forked, links, writes
from tests.integration.git.test_rebase import BRANCH, commit


def replay(repo: Path, answers: dict[str, FileAnswer]) -> Replayed:
    with opened(repo) as view, writing(view, keep=True) as run:
        onto, at = tip(view, "main") or "", tip(view, BRANCH) or ""
        base = git(repo, "merge-base", "main", BRANCH)
        resolved = ResolvedStops(run, answers.get)
        return Replay(run, resolved).run(own_commits(run, at, onto, base), onto, at)


def test_an_answer_counts_wherever_the_same_sides_meet_again(repo: Path) -> None:
    """N2: also when the base has moved on in other places."""
    (repo / "run.sh").write_text("#!/bin/sh\n1\n")
    (repo / "run.sh").chmod(0o755)
    commit(repo, "base")
    git(repo, "switch", "-qc", BRANCH)
    (repo / "run.sh").write_text("#!/bin/sh\n2\n")
    stops = commit(repo, "task's")
    git(repo, "switch", "-q", "main")
    (repo / "run.sh").write_text("#!/bin/sh\n3\n")
    commit(repo, "main's")
    stop = replay(repo, {}).stop
    assert stop is not None
    assert stop.commit == stops
    answers = {conflict_key(stop, "run.sh"): FileAnswer("#!/bin/sh\n3\n2\n")}
    first = replay(repo, answers)
    assert git(repo, "show", f"{first.tip}:run.sh") == "#!/bin/sh\n3\n2"
    assert git(repo, "ls-tree", first.tip, "run.sh").startswith("100755")
    commit(repo, "elsewhere", other="x\n")
    assert replay(repo, answers).stop is None
    (repo / "run.sh").write_text("#!/bin/sh\n4\n")
    commit(repo, "main's again")
    assert replay(repo, answers).stop is not None, "these are other sides"


def test_the_places_are_marked_and_their_commits_named(repo: Path) -> None:
    """N2."""
    repo = forked(
        repo,
        writes("f", LONG),
        writes("f", LONG.replace("line 1\n", "zero\nline 1\n").replace("line 9\n", "task 9\n")),
        writes("f", LONG.replace("line 9\n", "main 9\n")),
    )
    stop = replay(repo, {}).stop
    assert stop is not None
    with opened(repo) as view, writing(view, keep=False) as run:
        pieces = conflict_pieces(run, stop, "f") or []
        text = marked_text(pieces, "main", "the branch")
        tree = tree_with(run, stop.tree, {"f": text})
        assert run(["cat-file", "blob", f"{tree}:f"]).stdout.decode() == text
        base = git(repo, "merge-base", "main", BRANCH)
        file = reported_file(run, stop, base, "f", pieces)
        mine = described(run, stop.commit)
    assert "<<<<<<< main\nmain 9\n||||||| " in text
    assert "=======\ntask 9\n>>>>>>> the branch\n" in text
    assert (mine.commit, mine.message.strip()) == (stop.commit, "the task's change")
    main = git(repo, "rev-parse", "main")
    assert (file.onto_blame, file.branch_blame) == ([[main]], [[stop.commit]])


def test_a_file_in_the_place_of_a_link_is_not_resolvable(repo: Path) -> None:
    repo = forked(repo, writes("a", "x\n"), writes("f", LONG), links("f", "a"))
    stop = replay(repo, {}).stop
    assert stop is not None
    assert "distinct modes" in unresolvable(stop, lambda _: True).values()
    with opened(repo) as view, writing(view, keep=False) as run:
        assert ResolvedStops(run, lambda _: FileAnswer("x"))(stop) is None


def test_bytes_that_are_not_utf_8_are_a_matter_of_choice(repo: Path) -> None:
    repo = forked(repo, writes("f", b"\xff0\n"), writes("f", b"\xff1\n"), writes("f", b"\xff2\n"))
    stop = replay(repo, {}).stop
    assert stop is not None
    with opened(repo) as view, writing(view, keep=False) as run:
        assert conflict_pieces(run, stop, "f") is None
    assert unresolvable(stop, lambda _: False) == {}
    assert stop_kinds(stop, lambda _: False) == {"f": "binary"}
