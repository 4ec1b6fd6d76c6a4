"""A task whose git is killed or stopped at random moments, on a repository of any size.

python -m tests.crash.git_kills --runs 200 --files 60000 --page docs/reliability.md
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.crash.__main__ import machine, write_page
from tests.e2e.conftest import end_daemon
from tests.e2e.processes import runners
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

BEGIN, END = "<!-- figures of the killed gits -->", "<!-- end of these figures -->"
STALL = 4.0
"""Seconds after which a git that stands still is given up in these runs."""
PER_FOLDER = 100
MOST_STRIKES = 3
COMPLETED_WITHIN = 600.0
MOST_RESUMES = 20

WORKFLOW = r"""
version: "1.0"
name: edits
steps:
  - {id: write, type: agent, prompt: write}
  - {id: own, type: command, timeout: 60, command: "set -e; echo more >> d0/f1; rm d0/f2; git add -A; git commit -qm mine"}
  - {id: last, type: agent, prompt: last}
"""

SCRIPT = script(
    write=[{"say": "w", "edits": [{"path": "d0/f0", "content": "edited\n"},
                                  {"path": "new/file", "content": "new\n"}]}],
    last=[{"say": "l", "edits": [{"path": "d0/f3", "delete": True},
                                 {"path": "new/last", "content": "last\n"}]}],
)  # fmt: skip

CHANGED = ["d0/f0", "d0/f1", "d0/f2", "d0/f3", "new/file", "new/last"]

CONFIG = f"""
idle_exit: 600
sweep_interval: 2
spare_sandboxes: 0
retry: {{interrupted_first: 0.1, transient_first: 0.1, jitter: 0, max_auto_retries: 20}}
limits: {{git_stall: {STALL}, stop_grace: 0.5}}
"""


@dataclass
class KillTime:
    """`at`: seconds after the task's start, or with `nth` the so manieth git that is seen, after
    `after` seconds of its life. `cont`: seconds until a stopped one goes on; None: never."""

    kind: str
    at: float = 0
    nth: int | None = None
    after: float = 0
    cont: float | None = None


@dataclass
class KillResult:
    """One run. `asked`: it paused for a person to look at its diff."""

    seed: int
    struck: list[str] = field(default_factory=list[str])
    pauses: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    failures: list[str] = field(default_factory=list[str])
    wrong: str = ""
    seconds: float = 0


class GitProcesses:
    """The git processes of one task's sandbox, as they come."""

    def __init__(self, home: Path, task_id: str) -> None:
        self._home, self._id = home, task_id
        self._roots: list[int] = []
        self._looked = 0.0
        self.seen: dict[int, float] = {}

    def now(self) -> list[int]:
        """Those that live, newest last."""
        if not any(Path(f"/proc/{pid}").exists() for pid in self._roots):
            if time.monotonic() - self._looked < 0.1:
                return []
            self._looked = time.monotonic()
            self._roots = runners(self._home, self._id)
        found = [pid for root in self._roots for pid in _below(root) if _name(pid) == "git"]
        for pid in found:
            self.seen.setdefault(pid, time.monotonic())
        return found


def _below(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _words(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:60]
    return ""


def plan(chance: random.Random, gits: int, within: tuple[float, float]) -> list[KillTime]:
    """One to three strikes, half of them at a moment and half at the git of some number, so that
    short ones have their turn as well."""
    found: list[KillTime] = []
    for _ in range(chance.randint(1, MOST_STRIKES)):
        kind = chance.choice(("kill", "stop", "halt"))
        cont = chance.uniform(0, STALL / 2) if kind == "stop" else None
        if chance.random() < 0.5:
            found.append(KillTime(kind, at=chance.uniform(*within), cont=cont))
        else:
            nth, after = chance.randrange(gits), chance.choice((0, chance.expovariate(5)))
            found.append(KillTime(kind, nth=nth, after=after, cont=cont))
    return found


@dataclass
class GitKillScenario:
    """A data folder with its daemon, a repository and a client."""

    client: LauncherClient
    repository: Path
    tree: str = ""
    gits: int = 1
    first: float = 0.0
    last: float = 1.0
    """When the first and the last git were seen in an undisturbed run, in seconds."""

    def calm(self) -> None:
        """A run that nobody disturbs: what the others have to come to."""
        began = time.monotonic()
        task = self._create("calm")
        gits = GitProcesses(self.client.home, task["id"])
        while self._view(task)["status"] != "COMPLETED":
            assert time.monotonic() < began + COMPLETED_WITHIN, self._view(task)
            for _ in range(50):
                gits.now()
                time.sleep(0.002)
        self.first, self.last = min(gits.seen.values()) - began, max(gits.seen.values()) - began
        self.gits = len(gits.seen)
        self.tree = git(self.repository, "rev-parse", f"{task['branch']}^{{tree}}")
        found = git(self.repository, "diff", "--name-only", "--no-renames", "main", task["branch"])
        assert found.split() == CHANGED
        self._delete(task)

    def try_hard(self, seed: int) -> KillResult:
        """One task, struck as the seed decides, and resumed until it is completed."""
        tried = KillResult(seed)
        began = time.monotonic()
        task = self._create(f"seed-{seed}")
        strikes = plan(random.Random(seed), self.gits, (self.first, self.last))
        view = self._follow(task, strikes, tried)
        tried.seconds = time.monotonic() - began
        if view["status"] == "COMPLETED":
            tree = git(self.repository, "rev-parse", f"{task['branch']}^{{tree}}")
            if tree != self.tree:
                wrong = git(self.repository, "diff", "--stat=200,150", self.tree, tree)
                tried.wrong = f"another tree: {wrong[-2000:]}"
        else:
            tried.wrong = f"{view['status']}: {json.dumps(view.get('pause') or view.get('error'))}"
        self._delete(task)
        return tried

    def _follow(self, task: Frame, strikes: list[KillTime], tried: KillResult) -> Frame:
        began = asked = time.monotonic()
        gits, waking = GitProcesses(self.client.home, task["id"]), list[tuple[float, int]]()
        while True:
            now = time.monotonic()
            alive = gits.now()
            for strike in [s for s in strikes if alive and _due(s, gits, alive, now - began)]:
                pid = random.Random(tried.seed).choice(alive)
                words = _words(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if strike.kind == "kill" else signal.SIGSTOP)
                    tried.struck.append(f"{strike.kind} {words}")
                    strikes.remove(strike)
                    if strike.cont is not None:
                        waking.append((now + strike.cont, pid))
            for moment, pid in [w for w in waking if w[0] <= now]:
                waking.remove((moment, pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            if now - asked > 0.25:
                asked = now
                view = self._view(task)
                if self._ended(view, tried) or now - began > COMPLETED_WITHIN:
                    return view
            time.sleep(0.002)

    def _ended(self, view: Frame, tried: KillResult) -> bool:
        """Whether it has come to an end; what stands is resumed."""
        pause = view.get("pause") or {}
        if view["status"] == "COMPLETED":
            return True
        waits = view["status"] == "PAUSED" and not pause.get("retry_at")
        if view["status"] == "PAUSED":
            tried.pauses[pause["reason"]] += 0 if not waits else 1
        if view["status"] == "FAILED":
            tried.failures.append(str(view.get("error")))
        if view["status"] == "FAILED" or waits:
            tried.resumes += 1
            if tried.resumes > MOST_RESUMES or pause.get("reason") == "needs_look":
                return True
            self.client.tool("resume_task", task=view["id"])
        return False

    def _create(self, key: str) -> Frame:
        return self.client.tool(
            "create_task", description="Edit a little", workflow="edits", agent="scripted",
            engine="bubblewrap", script=SCRIPT, request_key=key,
        )["task"]  # fmt: skip

    def _view(self, task: Frame) -> Frame:
        return self.client.tool("inspect", task=task["id"])["task"]

    def _delete(self, task: Frame) -> None:
        if self._view(task)["status"] not in ("COMPLETED", "FAILED"):
            self.client.tool("cancel_task", task=task["id"])
        self.client.tool("delete_task", task=task["id"], confirm=True)


def _due(strike: KillTime, gits: GitProcesses, alive: Sequence[int], elapsed: float) -> bool:
    if strike.nth is None:
        return elapsed >= strike.at
    order = list(gits.seen)
    return len(order) > strike.nth and (
        time.monotonic() - gits.seen[alive[-1]] >= strike.after or len(order) > strike.nth + 20
    )


def make_large(folder: Path, files: int) -> Path:
    """A repository with one commit on main, of so many small files."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    feed = ["commit refs/heads/main", "committer T <t@example.invalid> 1790000000 +0000"]
    feed += ["data 5", "first"]
    for number in range(files):
        text = f"file {number}\n"
        path = f"d{number // PER_FOLDER}/f{number % PER_FOLDER}"
        feed += [f"M 100644 inline {path}", f"data {len(text)}", text]
    argv = ["git", "fast-import", "--quiet"]
    subprocess.run(argv, cwd=folder, input="\n".join(feed) + "\n", text=True, check=True)
    workflows = folder / ".rover" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "edits.yaml").write_text(WORKFLOW)
    git(folder, "reset", "-q", "--hard")
    return folder


@contextmanager
def open_git_scene(files: int, place: str | None = None) -> Iterator[GitKillScenario]:
    """A scene of its own; everything of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rover-gits-", dir=place))
    home = folder / "data"
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    try:
        repository = make_large(folder / "repo", files)
        with LauncherClient(home, repository) as client:
            client.open()
            scene = GitKillScenario(client, repository)
            scene.calm()
            yield scene
    finally:
        end_daemon(home)
        shutil.rmtree(folder, ignore_errors=True)


def figures(every: Sequence[KillResult], files: int, seconds: float) -> Iterator[str]:
    """For people: rows of a table."""
    struck = Counter(s.split()[0] for t in every for s in t.struck)
    verbs = Counter(_verb(s) for t in every for s in t.struck)
    pauses = sum((t.pauses for t in every), Counter[str]())
    wrong = [str(t.seed) for t in every if t.wrong]
    yield "| figure | value |"
    yield "|---|---|"
    yield f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {seconds / 60:.0f} minutes |"
    yield f"| machine | {machine()} |"
    yield f"| runs | {len(every)}, on {files:,} files, bubblewrap |"
    yield (
        f"| gits killed, stopped for a while, stopped for good | {struck['kill']}, "
        f"{struck['stop']}, {struck['halt']} |"
    )
    yield f"| of which | {', '.join(f'{v} {n}' for v, n in verbs.most_common(12))} |"
    yield f"| resumed by hand | {sum(t.resumes for t in every)} ({dict(pauses) or 'no pause'}) |"
    yield f"| tasks that FAILED on the way | {sum(bool(t.failures) for t in every)} |"
    yield f"| runs with another result | {len(wrong)} {' '.join(wrong)} |"


def _verb(struck: str) -> str:
    words = [w for w in struck.split()[2:] if not w.startswith("-") and "=" not in w]
    return words[0] if words else "?"


def main() -> int:
    """Run it all; 1 where a run came to another result."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.git_kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="the first run's seed")
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--folder", help="where the data folders are made")
    parser.add_argument("--each", type=int, default=20, help="runs of one data folder")
    parser.add_argument("--page", type=Path, help="a page whose figures are replaced")
    asked = parser.parse_args()
    every: list[KillResult] = []
    began = time.monotonic()
    last = asked.first + asked.runs
    for first in range(asked.first, last, asked.each):
        with open_git_scene(asked.files, asked.folder) as scene:
            print(f"calm: {scene.first:.1f} to {scene.last:.1f} s, {scene.gits} gits", flush=True)
            for seed in range(first, min(first + asked.each, last)):
                every.append(_one(scene, seed))
                print(_line(every[-1]), flush=True)
    lines = list(figures(every, asked.files, time.monotonic() - began))
    print("\n".join(lines))
    if asked.page:
        write_page(asked.page, lines, (BEGIN, END))
    return 1 if any(t.wrong for t in every) else 0


def _one(scene: GitKillScenario, seed: int) -> KillResult:
    try:
        return scene.try_hard(seed)
    except Exception:  # noqa: BLE001 - whatever it is, it is a failure to be told of
        return KillResult(seed, wrong=traceback.format_exc())


def _line(tried: KillResult) -> str:
    rest: dict[str, Any] = {"pauses": dict(tried.pauses), "failures": tried.failures}
    wrong = f" WRONG {tried.wrong}" if tried.wrong else ""
    return f"seed {tried.seed} {tried.seconds:.1f} s {tried.struck} {rest}{wrong}"


if __name__ == "__main__":
    sys.exit(main())
