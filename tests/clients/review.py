"""A user has Claude Code delegate, review, iterate, rebase and merge; the page of it is
docs/transcripts/claude-code-review.md.

    python -m tests.clients.review

regenerates it. The program, the server, the sandbox and git are real; the assistant's model is
played by tests/clients/assistant.py, and the task's agent by a script.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.clients.assistant import ReviewingAssistant
from tests.clients.delegation import claude, rendered, settled
from tests.clients.programs import BIN, bare_environment, ran
from tests.e2e.conftest import end_daemon
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.repos import FIXED, git, make_repository
from tests.support.scripts import script

PAGE = Path(__file__).parents[2] / "docs" / "transcripts" / "claude-code-review.md"
PROMPTS = (
    "Have Rover fix calc.add in this repository. Show me what changed when it is done.",
    "Review comments: the arguments need names, and a docstring should say what is returned.",
    "I gave add types on main meanwhile. Rebase the work on it, then merge it.",
)
COMMENTS = [
    {"file": "calc.py", "line": 1, "text": "Call the arguments left and right."},
    {"file": "calc.py", "line": 2, "text": "Say in a docstring what is returned."},
]
BETTER = 'def add(left, right):\n    """Return the sum of both."""\n    return left + right\n'
TYPED = "def add(a: int, b: int) -> int:\n    return a - b\n"
TYPED_AND_FIXED = TYPED.replace("a - b", "a + b")
TYPED_AND_BETTER = BETTER.replace("left, right):", "left: int, right: int) -> int:")
TASK = {
    "description": "calc.add subtracts. Make it add.",
    "workflow": "quick",
    "agent": "scripted",
    "engine": "bubblewrap",
    "script": script(
        implement=[
            {
                "say": "done",
                "edits": [{"path": "calc.py", "content": FIXED}],
                "outputs": {"commit_message": "Add instead of subtracting in calc.add"},
            },
            {
                "say": "done",
                "edits": [{"path": "calc.py", "content": BETTER}],
                "outputs": {"commit_message": "Add instead of subtracting, and name the arguments"},
            },
        ],
        # Each commit of the branch changes what main has changed.
        resolve=[
            {"say": "both", "edits": [{"path": "calc.py", "content": TYPED_AND_FIXED}]},
            {"say": "both", "edits": [{"path": "calc.py", "content": TYPED_AND_BETTER}]},
        ],
    ),
}
HEADER = """\
# Claude Code reviews, changes, rebases and merges

As it happened: the real Claude Code, its real MCP connection, the real server, sandbox and git. Only
two things are played: what the assistant's model decides, and the agent that does the task. Between
the second and the third prompt the user commits to `main`, where the task has changed the same
lines; an agent resolves these conflicts. A merge needs a person, and in this mode (`claude -p`)
Claude Code has none who could answer its dialog, so that the user merges. A test plays it again and
compares (`tests/clients/test_claude.py`).

Results are what the model is given, shortened: of a task they have more. TASK stands for its id,
COMMIT for commits, TIME for times, REPOSITORY for the repository's folder.
"""


def play(folder: Path) -> tuple[Path, str]:
    """The repository afterwards, and the page. `folder` is empty."""
    home, repository, user = folder / "data", make_repository(folder / "repo"), folder / "user"
    user.mkdir()
    git(repository, "config", "user.name", "Tess Ter")
    git(repository, "config", "user.email", "tess@example.invalid")
    model = ReviewingAssistant(TASK, COMMENTS)
    page = [HEADER]
    with FakeAnthropic() as provider:
        provider.session().play(model)
        for number, prompt in enumerate(PROMPTS):
            if number == 2:
                _commit_to_main(repository)
            more = ["--continue"] if number else []
            messages = claude(home, repository, user, provider, *more, prompt)
            assert model.failure is None, model.failure
            page += [f"## You\n\n> {prompt}\n", *rendered(messages)]
    environ = {**bare_environment(user), "ROVER_HOME": str(home)}
    done = ran([BIN / "rover", "merge", "1", "--yes"], environ, repository)
    page.append(
        f"## You, in a terminal\n\n```\n$ rover merge 1 --yes\n{done.stdout.strip()}\n```\n"
    )
    return repository, without_commits(settled("\n".join(page)), repository)


def _commit_to_main(repository: Path) -> None:
    (repository / "calc.py").write_text(TYPED)
    git(repository, "commit", "-q", "-a", "-m", "Give add types")


def without_commits(text: str, repository: Path) -> str:
    """The text without the names of commits and folders, which are others each time."""
    objects = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    text = text.replace(str(repository), "REPOSITORY")
    for name in objects.split():
        for length in (40, 12, 10, 7):
            text = text.replace(name[:length], "COMMIT")
    return text


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rover-review-"))
    try:
        _, page = play(folder)
    finally:
        end_daemon(folder / "data")
        shutil.rmtree(folder)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
