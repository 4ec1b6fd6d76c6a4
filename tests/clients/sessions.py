"""Ten people's sessions at a terminal, one after the other on one machine, as pages of docs/.

python -m tests.clients.sessions writes docs/transcripts/terminal/ anew
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.programs import BIN
from tests.clients.shell import Shell, Step, TerminalStep, normal
from tests.e2e.conftest import end_daemon
from tests.support.docker_env import cache_folder
from tests.support.fake_models import FakeModels
from tests.support.models.turns import text, usage_window, write
from tests.support.real_claude import claude_binary
from tests.support.repos import BROKEN, FIXED, git, make_repository
from tests.support.scripts import CREDITS, script
from tests.support.timers import ANY_TASK, its_time_comes

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "transcripts" / "terminal"
CHECK = "python3 -m unittest -q"
FLOW = """\
version: "1.0"
description: Change it, then lint it.
steps:
  - id: change
    type: agnet
    prompt: "{{task.title}}"
    outputs: [{name: sure, type: boolean, required: true}]
  - id: lint
    type: command
    command: python3 -m compileall -q .
    timeout: 5 minuts
    if: steps.change.sure
"""


@dataclass(frozen=True)
class UserMachine:
    """One machine: a user's home, two repositories, and the provider that plays the models."""

    folder: Path
    provider: FakeModels

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "rover"

    @property
    def shop(self) -> Path:
        return self.home / "shop"

    @property
    def tools(self) -> Path:
        return self.home / "tools"

    def environ(self) -> dict[str, str]:
        """That of a user with a key, without docker and podman."""
        nowhere = f"unix://{self.folder}/none"
        return {
            **self.provider.session("").environment("sk-ant-users"),
            "HOME": str(self.home), "PATH": f"{BIN}:{self.folder / 'bin'}:/usr/bin:/bin",
            "LANG": "C.UTF-8", "NO_COLOR": "1", "PAGER": "cat", "DOCKER_HOST": nowhere,
            "CONTAINER_HOST": nowhere, "ROVER_AGENT_CACHE": str(cache_folder() / "agents"),
            "ROVER_TESTS": str(os.getpid()), "DISABLE_AUTOUPDATER": "1",
        }  # fmt: skip

    def places(self) -> dict[str, str]:
        claude = str(claude_binary().resolve())
        return {
            str(self.home): "~", str(BIN): "~/.local/bin", claude: "~/.local/bin/claude",
            str(self.folder): "/run/user/1000",
        }  # fmt: skip

    def script(self, name: str, content: str) -> None:
        """A script for the scripted agent, in the user's home."""
        (self.home / f"{name}.yaml").write_text(content)


def _nothing(stage: UserMachine) -> None:
    """Nothing has to be there."""


def _nobody(stage: UserMachine, step: Step) -> None:
    """Nobody does anything between the steps."""


@dataclass(frozen=True)
class Session:
    """What one person does. `prepare` sets the stage; `meanwhile` happens before each step."""

    name: str
    title: str
    about: str
    steps: tuple[Step, ...]
    prepare: Callable[[UserMachine], None] = _nothing
    cwd: Callable[[UserMachine], Path] = lambda stage: stage.shop
    meanwhile: Callable[[UserMachine, Step], None] = _nobody


@contextmanager
def stage_in(folder: Path) -> Iterator[UserMachine]:
    """The machine, until the block ends."""
    with FakeModels() as provider:
        stage = UserMachine(folder, provider)
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "claude").symlink_to(claude_binary())
        for repository in (stage.shop, stage.tools):
            make_repository(repository, {**BROKEN, ".gitignore": "__pycache__/\n"})
        user = "[user]\n\tname = Tess Ter\n\temail = tess@example.invalid\n"
        (stage.home / ".gitconfig").write_text(user)
        stage.data.mkdir(parents=True)
        stage.data.chmod(0o700)
        (stage.data / "config.yaml").write_text("idle_exit: 600\nretry: {jitter: 0}\n")
        try:
            yield stage
        finally:
            end_daemon(stage.data)


def play(session: Session, stage: UserMachine) -> list[TerminalStep]:
    """One person's session, on the stage."""
    session.prepare(stage)
    shell = Shell(stage.folder / f"tmux-{session.name}", stage.environ(), session.cwd(stage))
    return shell.play(session.steps, lambda step: session.meanwhile(stage, step))


def page(session: Session, seen: list[TerminalStep], stage: UserMachine) -> str:
    """The session as Markdown."""
    lines = [f"# {session.title}", "", session.about, "", "```console"]
    for one in seen:
        if one.step.says:
            lines += ["```", "", one.step.says, "", "```console"]
        lines.append(normal(one.screen, stage.places()))
    text = "\n".join([*lines, "```", ""])
    return text.replace("```console\n```\n\n", "")


# --- the people ---


def _first_claude(stage: UserMachine) -> None:
    stage.provider.session("").push(
        write("calc.py", FIXED), text("add adds now, and the test passes.")
    )


def _window(stage: UserMachine) -> None:
    stage.provider.session("").push(
        usage_window(3600), write("calc.py", FIXED), text("add adds now.")
    )


def _window_opens(stage: UserMachine, step: Step) -> None:
    if step.line.startswith("until "):
        its_time_comes(stage.data, ANY_TASK)


def _credits(stage: UserMachine) -> None:
    stage.script("poor", script(implement=[{"say": "half", "error": CREDITS}]))
    stage.provider.session("").push(write("calc.py", FIXED), text("add adds now."))


def _red(stage: UserMachine) -> None:
    (stage.tools / "test_old.py").write_text(
        "import unittest\n\n\nclass Old(unittest.TestCase):\n    def test_old(self):\n"
        "        self.fail('broken for years')\n"
    )
    git(stage.tools, "add", "-A")
    git(stage.tools, "commit", "-q", "-m", "an old test")
    known = {"test_command": CHECK, "known_failures": "test_old: broken for years"}
    looked = {"size": "small", "notes": "calc.py", "test_command": CHECK}
    turns = {
        "triage": [{"outputs": looked}],
        "check_baseline": [{"outputs": known}],
        "implement": [
            {"edits": [{"path": "calc.py", "content": FIXED}], "outputs": {"summary": "add adds"}}
        ],
    }
    stage.script("red", script(**turns))


def _flow(stage: UserMachine) -> None:
    stage.script("flow", script(change=[{"outputs": {"sure": True}}]))
    (stage.home / "flow-draft.yaml").write_text(FLOW)


SCRIPTED = "--workflow quick --agent scripted"

SESSIONS = (
    Session(
        "01-first-steps",
        "First steps",
        "Rover was just installed. Does it work here?",
        (
            Step("rover --version", ("rover 0.",)),
            Step("rover doctor", ("sandbox", "agent claude"), None),
            Step("rover demo", ("rover create",), says="A whole task, in a folder of its own:"),
        ),
    ),
    Session(
        "02-first-task",
        "A first task with Claude Code",
        "A repository with a failing test. The agent is the real Claude Code; its model is played.",
        (
            Step(f"{CHECK} 2>&1 | tail -3", ("FAILED",)),
            Step(
                f'rover create "add subtracts. Make it add." --workflow quick --agent claude '
                f"--input check_command='{CHECK}' --watch",
                ("COMPLETED",),
            ),
            Step("rover diff 1", ("return a + b",)),
            Step("git merge -q rover/1-add-subtracts-make-it-add && git log --oneline", ("first",)),
            Step(f"{CHECK} 2>&1 | tail -3", ("OK",)),
        ),
        _first_claude,
    ),
    Session(
        "03-usage-window",
        "A pause for a usage window",
        "The plan's window closes in the middle. No one has to do anything.",
        (
            Step("git reset -q --hard HEAD~1"),
            Step(
                'rover create "Make add add" --workflow quick --agent claude --watch',
                ("PAUSED", "usage"),
                2,
            ),
            Step("rover list"),
            Step("rover inspect 2", says="When does it continue?"),
            Step(
                "until rover inspect 2 | grep -q COMPLETED; do sleep 1; done; rover inspect 2",
                ("COMPLETED",),
                says="A few seconds later (in this session; with a real plan, hours):",
            ),
        ),
        _window,
        meanwhile=_window_opens,
    ),
    Session(
        "04-credits",
        "No credits, and another agent",
        "The account of one agent is empty. Another agent continues with the same work.",
        (
            Step(
                f'rover create "Make add add" {SCRIPTED} --script ~/poor.yaml --watch',
                ("PAUSED", "credit balance"),
                2,
            ),
            Step("rover resume 3 --agent claude --watch", ("COMPLETED",)),
            Step("rover diff 3 --stat", ("calc.py",)),
        ),
        _credits,
    ),
    Session(
        "05-red-test",
        "A repository with an old red test",
        "One test has failed for years. `swe` looks before it changes anything, and delivers.",
        (
            Step("cd ~/tools"),
            Step(
                'rover create "Make add add" --agent scripted --script ~/red.yaml --watch',
                ("COMPLETED", "all of them failed before"),
            ),
            Step("git log -1 --format=%B rover/1-make-add-add", ("But: tests still fail",)),
        ),
        _red,
    ),
    Session(
        "06-results",
        "Reading results",
        "What did it do, what did it print, what changed?",
        (
            Step("rover show 1", ("COMPLETED",)),
            Step("rover show 1 --full", ("Implement: summary",)),
            Step("rover logs 1 --step baseline --tail 5", ("exit status 1",)),
            Step("rover diff 1 --stat", ("calc.py",)),
            Step("rover diff 1 --patch | git apply --check && echo it applies", ("it applies",)),
            Step("rover logs 1 --step last_test -f", ("exit status 1",)),
        ),
        cwd=lambda stage: stage.tools,
    ),
    Session(
        "07-workflow-author",
        "Writing a workflow",
        "From a draft with mistakes to a workflow that runs.",
        (
            Step("rover workflow new lint-it", ("lint-it",)),
            Step(
                "cp ~/flow-draft.yaml .rover/workflows/lint-it.yaml && cat .rover/workflows/lint-it.yaml"
            ),
            Step(
                "rover workflow check .rover/workflows/lint-it.yaml",
                ("did you mean 'agent'?", "steps.change.outputs.sure == true", "5m"),
                1,
                says="All that is wrong, at once:",
            ),
            Step(
                "sed -i 's/agnet/agent/; s/5 minuts/5m/; s/change.sure/change.outputs.sure == true/' "
                ".rover/workflows/lint-it.yaml"
            ),
            Step(
                "rover workflow check .rover/workflows/lint-it.yaml",
                ("warning", "task.description"),
            ),
            Step(
                "sed -i 's/{{task.title}}/{{task.title}} {{task.description}}/' "
                ".rover/workflows/lint-it.yaml && rover workflow check .rover/workflows/lint-it.yaml",
                ("ok: lint-it",),
            ),
            Step('rover create "Tidy up" --workflow lint-it --dry-run', ("compileall",)),
            Step(
                'rover create "Tidy up" --workflow lint-it --agent scripted --script ~/flow.yaml --watch',
                ("COMPLETED",),
            ),
        ),
        _flow,
        lambda stage: stage.tools,
    ),
    Session(
        "08-several-tasks",
        "Several tasks in two projects",
        "Three at once, and which one is ready?",
        (
            Step(f'rover create "One" {SCRIPTED} | head -3', ("Task 4",)),
            Step(f'rover create "Two" {SCRIPTED} | head -3', ("Task 5",)),
            Step(f'rover create "Three" {SCRIPTED} --repo ~/tools | head -3', ("Three",)),
            Step("rover wait --any", (), None),
            Step("rover wait 4; rover wait 5; rover wait 3 --repo ~/tools", (), None),
            Step("rover list --all", ("shop", "tools")),
            Step("rover prune", ("One",)),
        ),
    ),
    Session(
        "09-mistakes",
        "Mistakes",
        "What the command line answers to what was not meant.",
        (
            Step("rover crate x", ("did you mean 'create'?",), 64),
            Step("rover inspect 99", (), 1),
            Step('rover create "x" --workflow quik', ("did you mean quick?",), 1),
            Step('rover create "x" --agent claud', ("claude",), 1),
            Step('rover create "x" --input a=1 --workflow quick', ("check_command",), 1),
            Step("rover delete 1 --y", (), 64),
            Step("rover diff 1 no-such-file", (), None),
            Step('cd ~ && rover create "x"', ("git repository",), 1),
        ),
    ),
    Session(
        "10-cleaning-up",
        "Cleaning up",
        "What is kept, how much it is, and how it goes.",
        (
            Step("rover status", (), None),
            Step("rover delete 3", ("--yes",)),
            Step("rover delete 3 --yes", ("Deleted",)),
            Step("rover prune --yes", ()),
            Step("rover list", (), None),
            Step("rover forget ~/tools --yes", (), None),
            Step("rover list --all", (), None),
            Step("rover daemon stop", ("Stopped the daemon",)),
        ),
    ),
)


def write_pages(folder: Path) -> None:
    """Play all of them, and write their pages."""
    PAGES.mkdir(parents=True, exist_ok=True)
    with stage_in(folder) as stage:
        for session in SESSIONS:
            seen = play(session, stage)
            (PAGES / f"{session.name}.md").write_text(page(session, seen, stage), "utf-8")
            print(session.name, flush=True)


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp(prefix="rover-sessions-"))
    try:
        write_pages(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
