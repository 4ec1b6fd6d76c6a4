"""`python -m tests.real_projects [NAME ...]`: run the projects, write docs/real-projects.md.

Without names all of them. The rows of a project that is not run stay as its last run left them.
It fetches the projects' sources and, inside the tasks, what they install: never a part of CI.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.real_projects.archives import git, make_repository
from tests.real_projects.page import PAGE, Row, with_rows
from tests.real_projects.projects import PROJECTS, Project
from tests.real_projects.proxy import registry_proxy
from tests.real_projects.tasks import IMAGE, client, work
from tests.support.docker_env import docker_engine

ENGINES = ("bubblewrap", "docker")
ROUNDS = 3


def plain_worktree(repository: Path) -> float:
    """Seconds that `git worktree add` takes: the median of some."""
    times: list[float] = []
    for _ in range(ROUNDS):
        at = repository.with_name(f"{repository.name}-worktree")
        begin = time.monotonic()
        git(repository, "worktree", "add", "--quiet", "--detach", str(at))
        times.append(time.monotonic() - begin)
        git(repository, "worktree", "remove", "--force", str(at))
    return statistics.median(times)


def run(project: Project, address: str, proxy: str) -> Row:
    """One project on both engines, in folders of its own that are removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rover-projects-"))
    try:
        repository = folder / project.name
        make_repository(project, repository)
        files = len(git(repository, "ls-files").splitlines())
        plain = plain_worktree(repository)
        with client(folder / "home", repository, address, proxy) as session:
            outcomes = [work(session, project, repository, engine) for engine in ENGINES]
        return Row(project, files, plain, outcomes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(names: list[str]) -> int:
    """Run those that are named, else all. 64: a name is unknown."""
    if unknown := set(names) - {p.name for p in PROJECTS}:
        print(f"no project {', '.join(sorted(unknown))}", file=sys.stderr)
        return 64
    rows: list[Row] = []
    with docker_engine() as address, registry_proxy() as proxy:
        image = Path(__file__).with_name("image.sh")
        subprocess.run(["bash", str(image), address, IMAGE], check=True)
        for project in PROJECTS:
            if names and project.name not in names:
                continue
            row = run(project, address, proxy)
            rows.append(row)
            for outcome in row.outcomes:
                wrong = "; ".join(outcome.wrong) or "as it should be"
                print(f"{project.name:14} {outcome.engine:11} {outcome.whole:6.1f} s  {wrong}")
                for warning in outcome.warnings:
                    print(f"    warning: {warning}")
            sys.stdout.flush()
            PAGE.write_text(with_rows(PAGE.read_text("utf-8"), [row]), "utf-8")
    return 1 if any(outcome.wrong for row in rows for outcome in row.outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
