"""The processes that the scripts of the work tree start: each costs more than most of what it is
asked, and a task runs these scripts after each of its steps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.spec import WrapCommand
from agent_runner.worktree.worktree import Target, Worktree
from tests.support.runs import RunFolders
from tests.support.trees import do, snap

PROGRAMS = (
    "awk", "cat", "chmod", "cmp", "cp", "cut", "find", "git", "grep", "head", "ls", "mkdir", "mv",
    "nproc", "paste", "rm", "sed", "sort", "touch", "tr",
)  # fmt: skip

COUNTED = """#!/bin/sh
echo {name} >> {counted}
exec {program} "$@"
"""


class Counting:
    """A clone whose scripts find programs that write down each of their starts."""

    def __init__(self, root: Path) -> None:
        place = RunFolders(root / "task", "", attempt=1)
        self.work = place.work
        self._counted = root / "counted"
        programs = root / "programs"
        programs.mkdir()
        for name in PROGRAMS:
            program, real = programs / name, shutil.which(name)
            program.write_text(COUNTED.format(name=name, counted=self._counted, program=real))
            program.chmod(0o755)
        path = f"PATH={programs}:{os.environ['PATH']}"
        prefix = ["env", "-C", str(place.work), "GIT_CONFIG_NOSYSTEM=1", path]
        spec = place.spec(isolation=WrapCommand(prefix=prefix, forwarder=[]))
        self.tree = Worktree(spec, make_commands(spec))

    def during(self, work: Callable[[], object]) -> list[str]:
        """The names of the programs that the scripts start while `work` is done."""
        self._counted.unlink(missing_ok=True)
        work()
        return self._counted.read_text().split()


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def check_few(started: list[str], *, gits: int, others: int) -> None:
    """The other programs are up to four more where git learned something about files that were
    written in the same second as its index, as it depends on the time."""
    by_git = started.count("git")
    assert by_git <= gits, sorted(started)
    assert len(started) - by_git <= others + 4, sorted(started)


def test_a_new_clone_takes_few_processes(counting: Counting) -> None:
    check_few(counting.during(lambda: do(counting.tree.prepare)), gits=5, others=9)


def test_a_snapshot_takes_few_processes(counting: Counting) -> None:
    """Speed: of a file that changed, one that is new and one that is gone."""
    tree, work = counting.tree, counting.work
    do(tree.prepare)
    first = snap(tree)
    check_few(counting.during(lambda: snap(tree, first)), gits=4, others=5)
    (work / "README").write_text("other\n")
    (work / "new").write_text("new\n")
    (work / ".gitignore").unlink()
    check_few(counting.during(lambda: snap(tree, first)), gits=10, others=9)


def test_a_look_at_a_step_that_only_read_takes_few_processes(counting: Counting) -> None:
    tree = counting.tree
    do(tree.prepare)
    (counting.work / "new").write_text("new\n")
    before = snap(tree)
    check_few(counting.during(lambda: do(tree.remember)), gits=1, others=2)
    look = counting.during(lambda: do(lambda: tree.put_back(before, "look")))
    check_few(look, gits=6, others=10)


def test_a_reset_and_the_end_take_few_processes(counting: Counting) -> None:
    tree, work = counting.tree, counting.work
    do(tree.prepare)
    taken = snap(tree)
    (work / "README").write_text("other\n")
    reset = counting.during(lambda: do(lambda: tree.reset(Target.of(taken), keep_as="kept")))
    check_few(reset, gits=15, others=10)
    (work / "README").write_text("other\n")
    check_few(counting.during(lambda: do(lambda: tree.commit("m", taken))), gits=11, others=8)
    (work / "new").write_text("new\n")
    check_few(counting.during(lambda: do(lambda: tree.finish("m", taken))), gits=12, others=9)
