"""An iteration that starts from an earlier snapshot: its tree, on the branch as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.models import ExitCode, Snapshot
from agent_runner.spec import Restore
from tests.support.repos import git
from tests.support.runs import RunFolders

HEAD = 'version: "1.0"\nname: w\n'
FIRST = (
    HEAD + "steps:\n"
    "  - {id: a, type: command, command: 'echo one > a.txt'}\n"
    "  - {id: b, type: command, command: 'echo two > b.txt; echo x > a.txt'}\n"
)
LOOK = "test ! -e b.txt && grep -q one a.txt"


def rewound(tmp_path: Path) -> tuple[RunFolders, Snapshot, Snapshot]:
    """Two steps are done; the next iteration is to start from the snapshot after the first."""
    p = RunFolders(tmp_path / "task", FIRST)
    assert p.start() is ExitCode.COMPLETED
    last = p.state.snapshot
    assert last is not None
    commit = git(p.work, "rev-parse", "refs/rover/snapshots/1")
    tree = git(p.work, "rev-parse", f"{commit}^{{tree}}")
    begin = Snapshot(sequence=1, commit=commit, tree=tree, bundle="000001.bundle", head=last.head)
    names = [f"refs/rover/snapshots/{n}" for n in (1, last.sequence)]
    bundle = str(p.root / "spec/restore.bundle")
    git(p.work, "bundle", "create", "-q", bundle, *names, "refs/heads/rover/7-mend",
        f"^{p.base_commit}")  # fmt: skip
    p.iteration, p.attempt = 2, 0
    for path in list(p.run_folder.iterdir()):
        path.rename(tmp_path / path.name)
    p.restore = Restore(commit=begin.commit, head=begin.head)
    p.workflow = HEAD + f"steps: [{{id: c, type: command, command: '{LOOK} && echo 3 > c.txt'}}]\n"
    return p, begin, last


@pytest.mark.parametrize("is_lost", [False, True])
def test_it_has_that_tree_and_the_branch_moves_on(tmp_path: Path, *, is_lost: bool) -> None:
    """N14: also where the work tree has to be made again."""
    p, begin, last = rewound(tmp_path)
    if is_lost:
        p.work.rename(tmp_path / "gone")
        p.work.mkdir()
    assert p.start(begin=begin, first_snapshot=10) is ExitCode.COMPLETED
    assert git(p.work, "rev-parse", "HEAD^") == last.head
    assert git(p.work, "ls-tree", "--name-only", "HEAD").split() == [
        ".gitignore", "README", "a.txt", "c.txt",
    ]  # fmt: skip
    assert git(p.work, "show", "HEAD:a.txt") == "one"
    assert git(p.work, "rev-parse", "refs/rover/snapshots/10^{tree}") == begin.tree
    assert p.state.warnings == []


def test_what_a_step_has_done_since_is_not_set_back_again(tmp_path: Path) -> None:
    """I5: a resume continues the iteration."""
    p, begin, _ = rewound(tmp_path)
    p.workflow = (
        HEAD + "steps:\n"
        f"  - {{id: c, type: command, command: '{LOOK} && echo 3 > c.txt'}}\n"
        "  - {id: d, type: command, command: 'exit 1'}\n"
    )
    assert p.start(begin=begin, first_snapshot=10) is ExitCode.FAILED
    p.workflow = p.workflow.replace("exit 1", "test -e c.txt")
    assert p.start(begin=begin, first_snapshot=20) is ExitCode.COMPLETED
    assert git(p.work, "show", "HEAD:c.txt") == "3"


def test_a_failed_first_step_starts_again_from_there(tmp_path: Path) -> None:
    p, begin, _ = rewound(tmp_path)
    p.workflow = HEAD + f"steps: [{{id: c, type: command, command: '{LOOK} && rm a.txt; false'}}]\n"
    assert p.start(begin=begin, first_snapshot=10) is ExitCode.FAILED
    p.workflow = p.workflow.replace("rm a.txt; false", "true")
    assert p.start(begin=begin, first_snapshot=20) is ExitCode.COMPLETED
    assert git(p.work, "rev-parse", "HEAD^{tree}") == begin.tree
