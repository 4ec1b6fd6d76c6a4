"""Sixty conflicts of real sources, replayed by git: no bad answer counts at any of the stops, the good
ones do, and both sides of every file are in the result (N2)."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.domain.resolution import judge, unfenced
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.conflicts import conflict_pieces
from rover_mcp.git.rebase_branch import writing
from rover_mcp.git.replay import Replay, ReplayStop, own_commits
from rover_mcp.git.repository_view import opened
from rover_mcp.git.resolved_stops import marked_text, tree_with
from tests.integration.git.conftest import git
from tests.integration.git.test_rebase import BRANCH
from tests.unit.domain.test_resolution import BAD, CORPUS, MadeConflict

MADE = {made.path: made for made in CORPUS}
UNCHANGED = {"fences"}
"""Ways that end in the good answer: a fence around all of a file is stripped."""


def write(repo: Path, made: MadeConflict, content: str) -> None:
    file = repo / made.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def branched(repo: Path) -> None:
    """A branch with a commit for each of the conflicts, and a main that changed all of them."""
    for made in CORPUS:
        write(repo, made, made.filled(lambda r: r.base))
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "base")
    git(repo, "switch", "-qc", BRANCH)
    for made in CORPUS:
        write(repo, made, made.filled(lambda r: r.branch))
        git(repo, "commit", "-qam", made.path)
    git(repo, "switch", "-q", "main")
    for made in CORPUS:
        write(repo, made, made.filled(lambda r: r.onto))
    git(repo, "commit", "-qam", "main's")


def test_no_bad_answer_counts_at_any_stop_and_every_good_one_does(repo: Path) -> None:
    """N2."""
    branched(repo)
    stops: list[str] = []
    with opened(repo) as view, writing(view, keep=True) as run:

        def resolve(stop: ReplayStop) -> str:
            (path,) = stop.paths
            made, pieces = MADE[path], conflict_pieces(run, stop, path)
            assert pieces is not None
            marked = marked_text(pieces, "main", "the branch")
            assert not judge(path, pieces, marked).counts
            for way, answer in BAD.items():
                given = unfenced(answer(made), pieces)
                assert judge(path, pieces, given).counts is (way in UNCHANGED), (path, way)
            assert judge(path, pieces, made.good).counts, path
            stops.append(path)
            return tree_with(run, stop.tree, {path: made.good})

        onto, at = tip(view, "main") or "", tip(view, BRANCH) or ""
        base = git(repo, "merge-base", "main", BRANCH)
        replayed = Replay(run, resolve).run(own_commits(run, at, onto, base), onto, at)
    assert replayed.stop is None
    assert (len(stops), replayed.commits) == (len(CORPUS), len(CORPUS))
    assert len(CORPUS) >= 60
    for made in CORPUS:
        assert git(repo, "show", f"{replayed.tip}:{made.path}") == made.good.strip()
