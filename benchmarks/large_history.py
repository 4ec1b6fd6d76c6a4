"""A repository of 50,000 files and 10,000 commits: what looking at a task's work and delivering it
costs beside plain git doing the same.

Both sides run in turn, on two copies of one repository, and the ratio is that of each round (the
median of them). The task changed 200 files, and 50 commits came to main meanwhile, of which some
changed the same files elsewhere. Ours is a tool call over a connection that is open, as an
assistant makes it, and includes what git does not do: hand-off files, hooks, the search for
secrets, the record of the operation.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import Row, interleaved, median_ms, show, timed
from rover_mcp.demo.demo_environment import end_daemon
from tests.support.frames import LauncherClient
from tests.support.git_server import bare, git_server
from tests.support.repos import git
from tests.support.scripts import script

FILES = 50_000
COMMITS = 10_000
PER_FOLDER = 14
CHANGED = 200
BEHIND = 50
"""Commits on main since the task began."""
ROUNDS = 11
GOAL = "1.5"
WAIT = 900.0
ENGINE = "bubblewrap"
AUTHOR = "A <a@example.invalid>"
WORDS = ("alpha", "beta", "return", "struct", "int", "value", "node", "list", "index", "size")

Commands = Sequence[Sequence[str]]


def paths() -> list[str]:
    """Paths as in the source of a large project, always the same."""
    chance = random.Random(17)
    listed: list[str] = []
    for number in range(FILES):
        if number % PER_FOLDER == 0:
            place = f"{chance.choice(WORDS)}/{chance.choice(WORDS)}{number % 97}/part{number}"
        listed.append(f"{place}/file{number}.c")
    return listed


def history(listed: list[str], commits: int) -> Iterator[bytes]:
    """A stream for fast-import: one commit with every file, then commits that change three."""
    chance = random.Random(50)
    for number in range(commits):
        who = f"committer {AUTHOR} {1_600_000_000 + 600 * number} +0000"
        yield f"commit refs/heads/main\n{who}\ndata 7\nchange\n\n".encode()
        for path in listed if number == 0 else chance.sample(listed, 3):
            lines = (" ".join(chance.choices(WORDS, k=8)) for _ in range(20))
            text = "\n".join([f"{path} {number}", *lines, ""])
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n".encode()


def large_repository(folder: Path, listed: list[str]) -> Path:
    """The repository, packed, with its checkout."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "A")
    git(folder, "config", "user.email", "a@example.invalid")
    with subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=folder, stdin=subprocess.PIPE
    ) as importing:
        assert importing.stdin is not None
        importing.stdin.writelines(history(listed, COMMITS))
    git(folder, "reset", "-q", "--hard")
    git(folder, "gc", "-q")
    return folder


def task_of(client: LauncherClient) -> tuple[str, str]:
    """A task that changed files at their ends; its id and its branch."""
    step = FILES // CHANGED
    run = f"git ls-files | awk 'NR % {step} == 0' | while read f; do echo changed >> $f; done"
    task = client.tool(
        "create_task", description="Change them", workflow="quick", agent="scripted",
        engine=ENGINE, script=script(implement=[{"run": run}]),
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "COMPLETED", timeout=WAIT)
    return task["id"], task["branch"]


def move_main(repository: Path, listed: list[str]) -> None:
    """Commits on main, which change files at their beginning."""
    chance = random.Random(3)
    for number in range(BEHIND):
        for path in chance.sample(listed, 5):
            file = repository / path
            file.write_text(f"first {number}\n{file.read_text()}")
        git(repository, "commit", "-q", "-a", "-m", f"main {number}")


@contextmanager
def taken_back(repository: Path, branch: str) -> Generator[None]:
    """Restore main and the task's branch afterwards, untimed."""
    main, tip = git(repository, "rev-parse", "main"), git(repository, "rev-parse", branch)
    yield
    git(repository, "switch", "-q", "main")
    git(repository, "reset", "-q", "--keep", main)
    git(repository, "branch", "-q", "-f", branch, tip)
    # What was written is flushed now, so that no round pays for the one before.
    os.sync()


def add_commit(repository: Path, branch: str) -> None:
    """An empty commit on a branch that is not checked out, unlike any before it."""
    argv = ("commit-tree", f"{branch}^{{tree}}", "-p", branch, "-m", f"at {time.time_ns()}")
    git(repository, "update-ref", f"refs/heads/{branch}", git(repository, *argv))


@dataclass(frozen=True)
class Sides:
    """The same repository twice: plain git works in one, Rover in the other."""

    plain: Path
    ours: Path
    client: LauncherClient
    task: str
    branch: str

    def compared(
        self, title: str, plain: Commands, tool: str, *, is_new: bool = False, **arguments: object
    ) -> Row:
        """Run both in turn. The first round warms the caches and does not count. `is_new`: each
        round finds a commit on the task's branch that Rover has not seen before."""

        def by_git() -> None:
            for command in plain:
                git(self.plain, *command)

        def by_rover() -> None:
            self.client.tool(tool, task=self.task, **arguments)

        def run(repository: Path, action: Callable[[], None]) -> float:
            with taken_back(repository, self.branch):
                if is_new:
                    add_commit(repository, self.branch)
                return timed(action)()

        sides = {"plain": lambda: run(self.plain, by_git), "ours": lambda: run(self.ours, by_rover)}
        times = interleaved(sides, ROUNDS + 1)
        base, own = times["plain"][1:], times["ours"][1:]
        ratio = statistics.median(o / b for o, b in zip(own, base, strict=True))
        what = f"{title} (plain git: {median_ms(base):.0f} ms)"
        return Row(what, median_ms(own), "plain git", ratio, GOAL)


def looked_at(sides: Sides) -> list[Row]:
    """What changes nothing. `pushed` is asked of a server of its own."""
    plain, branch = sides.plain, sides.branch
    base = git(plain, "merge-base", "main", branch)
    merged = git(plain, "merge-tree", "--write-tree", "main", branch)
    preview = (
        ("log", "--oneline", f"main..{branch}"),
        ("merge-tree", "--write-tree", "main", branch),
        ("diff", "--stat", "main", merged),
    )
    diff = (("diff", "--stat", base, branch), ("diff", base, branch))
    rebased = (("rebase", "-q", "main", branch),)
    pushed = (("log", "--oneline", f"{base}..{branch}"), ("push", "-q", "-n", "origin", branch))
    return [
        sides.compared("get_diff", diff, "get_diff"),
        sides.compared("rebase_task, preview", rebased, "rebase_task"),
        sides.compared("push_task, first preview", pushed, "push_task", is_new=True),
        sides.compared("push_task, preview again", pushed, "push_task"),
        sides.compared("merge_task, first preview", preview, "merge_task", is_new=True),
        sides.compared("merge_task, preview again", preview, "merge_task"),
    ]


def copied(repository: Path, target: Path) -> Path:
    """A copy with a checkout whose index knows the new files."""
    shutil.copytree(repository, target, symlinks=True)
    git(target, "update-index", "-q", "--refresh")
    return target


def compare_all(folder: Path) -> list[Row]:
    listed, home = paths(), folder / "home"
    repository = large_repository(folder / "ours", listed)
    served = bare(folder / "served/origin.git", repository)
    home.mkdir()
    with git_server(served.parent) as server, closing(LauncherClient(home, repository)) as client:
        client.open()
        git(repository, "remote", "add", "origin", f"{server.address}origin.git")
        git(repository, "fetch", "-q", "origin")
        task, branch = task_of(client)
        move_main(repository, listed)
        sides = Sides(copied(repository, folder / "plain"), repository, client, task, branch)
        rows = looked_at(sides)
        merge = (("merge", "-q", "--no-edit", branch),)
        # A task that was merged can be merged again, but not be rebased: this comes last.
        rows.append(sides.compared("merge_task", merge, "merge_task", confirm=True))
        return rows


def main() -> None:
    """Print the section of the table."""
    folder = Path(tempfile.mkdtemp(prefix="rover-bench-"))
    try:
        rows = compare_all(folder)
    finally:
        end_daemon(folder / "home")
        shutil.rmtree(folder)
    show(f"{FILES:,} files, {COMMITS:,} commits (median of {ROUNDS}, interleaved)", rows)


if __name__ == "__main__":
    main()
