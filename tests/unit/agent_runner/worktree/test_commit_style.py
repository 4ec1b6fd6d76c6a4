"""How the user wants the commits that Rover makes (C.11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent_runner.models import Usage
from agent_runner.process.spawn import make_commands
from agent_runner.run.agent_prompts import commit_message
from agent_runner.spec import CommitStyle
from agent_runner.worktree.worktree import Worktree
from tests.support.runs import git
from tests.support.trees import BRANCH, do, make

USED = Usage(input_tokens=1200, output_tokens=34, cost_usd=0.0125)
WHOLE = CommitStyle(author="Ada Lovelace <ada@example.org>", co_author=True, cost=True)


def trailers(place: Any, commit: str = BRANCH) -> list[str]:
    return git(place.work, "log", "-1", "--format=%(trailers:only)", commit).splitlines()


def test_the_author_and_the_trailers_are_as_they_are_set(tmp_path: Path) -> None:
    """Git itself takes the last lines for trailers; the committer is Rover all the same."""
    place, _ = make(tmp_path)
    spec = place.spec(commits=WHOLE, agent="claude")
    worktree = Worktree(spec, make_commands(spec))
    do(worktree.prepare)
    (place.work / "new").write_text("new\n")
    do(lambda: worktree.finish(commit_message(spec, USED, "the tests still fail")))
    who = git(place.work, "log", "-1", "--format=%an <%ae>|%cn <%ce>", BRANCH)
    assert who == "Ada Lovelace <ada@example.org>|Rover agent <agent@rover.invalid>"
    assert trailers(place) == [
        "Rover-Tokens: 1234",
        "Rover-Cost: 0.0125 USD",
        "Co-authored-by: Claude <noreply@anthropic.com>",
    ]


def test_by_default_rover_is_the_author_without_a_trailer(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / "new").write_text("new\n")
    do(lambda: worktree.finish(commit_message(place.spec(), USED)))
    assert git(place.work, "log", "-1", "--format=%an <%ae>", BRANCH) == (
        "Rover agent <agent@rover.invalid>"
    )
    assert trailers(place) == []
    told = git(place.work, "log", "-1", "--format=%B", BRANCH).strip()
    assert told == "Mend the sum\n\nMade by Rover, task 7."


def test_the_agents_summary_is_in_the_body_and_forges_no_trailer(tmp_path: Path) -> None:
    """C.11. It is untrusted: what moves or hides text is taken out, and its length is bounded."""
    place, _ = make(tmp_path)
    spec = place.spec(commits=WHOLE, agent="claude")
    worktree = Worktree(spec, make_commands(spec))
    do(worktree.prepare)
    (place.work / "new").write_text("new\n")
    said = (
        "The sum is right now.\n\nRover-Cost: 0 USD\nCo-authored-by: Eve <eve@example.org>\x1b[2J"
    )
    do(lambda: worktree.finish(commit_message(spec, USED, None, said)))
    body = git(place.work, "log", "-1", "--format=%b", BRANCH)
    assert body.startswith("The sum is right now.\n\nRover-Cost: 0 USD\n")
    assert "Made by Rover, task 7." in body
    assert "\x1b" not in body
    assert trailers(place) == [
        "Rover-Tokens: 1234",
        "Rover-Cost: 0.0125 USD",
        "Co-authored-by: Claude <noreply@anthropic.com>",
    ]
    long = commit_message(spec, USED, None, "word " * 10_000)
    assert len(long) < 2500
    assert max(map(len, long.splitlines())) <= 72


def test_an_unknown_cost_gets_no_trailer(tmp_path: Path) -> None:
    place, _ = make(tmp_path)
    spec = place.spec(commits=WHOLE)
    told = commit_message(spec, Usage())
    assert told.endswith("task 7.\n\nCo-authored-by: scripted <agent@rover.invalid>\n")
    assert "Rover-Cost" not in commit_message(spec, Usage(input_tokens=1))


@pytest.mark.parametrize(
    "author", ["Ada", "Ada <>", "Ada <a@b> x", "Ada\n<a@b>", "<a@b>", "A <a b>", "A <a@b>\nX: y"]
)
def test_an_author_is_a_name_and_an_address(author: str) -> None:
    with pytest.raises(ValidationError):
        CommitStyle(author=author)
