"""What the demo claims at its end: each claim is checked, none is assumed."""

from __future__ import annotations

from agent_runner.json_object import Json
from rover_mcp.demo.demo_environment import DemoEnvironment


class Checks:
    """Claims and whether they held, in the order in which they were made."""

    def __init__(self) -> None:
        self.claims: list[tuple[str, bool]] = []
        self._before: dict[str, object] = {}
        self._paused: dict[str, Json] = {}
        self._attempt = 0

    @property
    def failed(self) -> list[str]:
        return [claim for claim, held in self.claims if not held]

    def note(self, claim: str, held: bool) -> None:
        self.claims.append((claim, held))

    def remember(self, stage: DemoEnvironment) -> None:
        """How the user's repository is before anything is done."""
        self._before = _fingerprint(stage)

    def before_resume(self, view: Json) -> None:
        """What was finished when it paused."""
        self._attempt = view["attempt"]
        self._paused = {s["id"]: s for s in view["steps"] if s["status"] == "completed"}
        self.note("one step was finished before the pause", list(self._paused) == ["plan"])

    def after_resume(self, view: Json) -> None:
        """The finished steps are as they were: same duration, and the first turn's output."""
        after = {s["id"]: s for s in view["steps"]}
        again = [i for i, s in self._paused.items() if after[i]["duration_s"] != s["duration_s"]]
        outputs: Json = after["plan"].get("outputs") or {}
        plan = str(outputs.get("plan"))
        first_turn = plan.startswith("Take the remainder")
        self.note("the finished step was not run again", not again and first_turn)
        self.note("… in a second attempt of the same task", view["attempt"] == self._attempt + 1)
        self.note("all steps are finished", {s["status"] for s in view["steps"]} == {"completed"})

    def diff(self, result: Json, stage: DemoEnvironment, view: Json) -> None:
        """get_diff says what git says of the branch."""
        changes: Json = result["changes"]
        reported = {f["path"]: (f["added"], f["removed"]) for f in changes["paths"]}
        numstat = stage.git("diff", "--numstat", f"{view['base_commit']}..{view['branch']}")
        git = {
            path: (int(added), int(removed))
            for added, removed, path in (line.split("\t") for line in numstat.splitlines())
        }
        self.note(
            "get_diff and git agree: bill.py, and nothing else",
            reported == git and [*git] == ["bill.py"],
        )

    def branch(self, stage: DemoEnvironment, view: Json) -> None:
        """The branch grows from main; whatever else is in the repository is as it was."""
        base, branch = view["base_commit"], view["branch"]
        count = int(stage.git("rev-list", "--count", f"{base}..{branch}"))
        self.note(f"the branch is {count} commit ahead of main", count >= 1)
        now = _fingerprint(stage)
        for what, before in self._before.items():
            self.note(f"{what} untouched", now[what] == before)

    def after_iteration(self, stage: DemoEnvironment, view: Json) -> None:
        """The second iteration is on the same branch, on top of the first one's work."""
        branch = view["branch"]
        self.note("the second iteration is on the same branch", view["iteration"] == 2)
        text = stage.git("show", f"{branch}:bill.py")
        self.note("… and answers the comment", "first people" in text and "cents_left" in text)

    def preview(self, stage: DemoEnvironment, result: Json) -> None:
        """A preview names what would happen, and does nothing."""
        at_rest = _fingerprint(stage) == self._before and not result["merged"]
        self.note("the preview of the merge changed nothing", at_rest)

    def merged(self, stage: DemoEnvironment, result: Json) -> None:
        """main and the user's checkout hold the work, and the tests pass there."""
        self.note(
            "main is at the task's commit", stage.git("rev-parse", "main") == result["commit"]
        )
        self.note("the checkout is clean", stage.git("status", "--porcelain") == "")
        self.note("the tests are green in the checkout", stage.run_tests().returncode == 0)


def _fingerprint(stage: DemoEnvironment) -> dict[str, object]:
    files = {p.name: p.read_bytes() for p in sorted(stage.repo.iterdir()) if p.is_file()}
    return {
        "the user's files are": files,
        "the user's branch is": (
            stage.git("rev-parse", "main"),
            stage.git("branch", "--show-current"),
        ),
        "the user's index and config are": (
            stage.git("ls-files", "--stage"),
            (stage.repo / ".git" / "config").read_bytes(),
            sorted(p.name for p in (stage.repo / ".git" / "hooks").iterdir()),
        ),
    }
