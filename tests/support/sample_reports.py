"""The report of a task as it usually goes, for pictures and tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.models import PauseReason, Usage
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.report.gather_report import waits_of
from rover_mcp.report.report_models import (
    AgentReport,
    IterationReport,
    LogReport,
    ModelReport,
    Provenance,
    TaskReport,
)
from rover_mcp.report.timeline import timeline
from rover_mcp.tasks.view_models import (
    BudgetView,
    ChangesView,
    ContextView,
    FileChange,
    NextAction,
    TaskView,
)

T = RecordType
BEGIN: Final = datetime(2026, 11, 30, 9, 12, tzinfo=UTC)
TASK_ID: Final = "0123456789abcdef0123456789abcdef"
STEPS: Final = [
    {"id": "plan", "name": "Plan the change", "type": "agent"},
    {"id": "baseline", "name": "Run the tests as they are", "type": "command"},
    {"id": "implement", "name": "Implement", "type": "agent"},
    {"id": "fix", "name": "Test and fix", "type": "loop", "limit": 5},
    {"id": "test", "name": "Run the tests", "type": "command", "parent": "fix"},
    {"id": "repair", "name": "Fix what fails", "type": "agent", "parent": "fix"},
    {"id": "review", "name": "Review", "type": "agent"},
    {"id": "docs", "name": "Update the documentation", "type": "agent"},
]


class JournalScript:
    """Writes records one after the other, on a clock that it moves."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at
        self.records: list[Record] = []

    def add(self, kind: RecordType, seconds: float = 0, **data: Any) -> None:
        """A record, `seconds` after the one before."""
        self.at += timedelta(seconds=seconds)
        self.records.append(Record(len(self.records) + 1, self.at, kind, data))

    def start(self, steps: Sequence[dict[str, Any]] = STEPS, attempt: int = 1) -> None:
        self.add(T.RUN_START, attempt=attempt, workflow="swe-tdd", steps=list(steps))

    def step(
        self, step: str, seconds: float, *, tokens: int = 0, usd: float = 0.0,
        loop: Sequence[dict[str, Any]] = (), error: str | None = None, agent: str = "claude",
    ) -> None:  # fmt: skip
        place: dict[str, Any] = {"step": step, **({"loop": list(loop)} if loop else {})}
        self.add(T.STEP_START, 2, **place)
        if tokens:
            session = {"agent": agent, "session_id": "s-1", "version": "2.1.4"}
            self.add(T.AGENT_SESSION, 1, **place, session=session)
            usage = {"input_tokens": tokens, "output_tokens": tokens // 12, "cost_usd": usd}
            self.add(T.USAGE, seconds - 1, **place, usage=usage)
            seconds = 1
        if error:
            self.add(T.STEP_FAIL, seconds, **place, error=error, outputs={}, tolerated=True)
        else:
            self.add(T.STEP_COMPLETE, seconds, **place, outputs={}, detail="did it")

    def pause(self, reason: PauseReason, message: str, seconds: float, step: str | None) -> None:
        """A pause in a running step, and the next attempt `seconds` later."""
        pause = {
            "reason": reason, "message": message, "since": self.at.isoformat(), "step": step,
            "provider": "anthropic",
        }  # fmt: skip
        self.add(T.WORKFLOW_PAUSE, 1, pause=pause)
        self.start_again(seconds)

    def start_again(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.start(attempt=2)
        self.add(T.WORKFLOW_RESUME, attempt=2, skipped=1)


def _first_iteration() -> IterationReport:
    script = JournalScript()
    script.start()
    script.step("plan", 154, tokens=48_200, usd=0.21)
    script.step("baseline", 38)
    script.add(T.STEP_START, 2, step="implement")
    script.add(T.AGENT_SESSION, step="implement",
               session={"agent": "claude", "session_id": "s-2", "version": "2.1.4"})  # fmt: skip
    script.add(T.USAGE, 640, step="implement", usage={"input_tokens": 410_000, "cost_usd": 1.31})
    message = "5-hour limit reached; it resets at 13:05 UTC"
    script.pause(PauseReason.USAGE_WINDOW, message, 3 * 3600 + 720, "implement")
    script.step("implement", 560, tokens=220_300, usd=0.74)
    script.add(T.STEP_START, 1, step="fix")
    for number, error in ((1, "exit status 1: 2 failed, 118 passed"), (2, None)):
        script.add(T.LOOP_ITERATION, 0, step="fix", iteration=number)
        at = [{"step": "fix", "iteration": number, "index": 0}]
        script.step("test", 41, loop=at, error=error)
        if error:
            at = [{"step": "fix", "iteration": number, "index": 1}]
            script.step("repair", 205, tokens=90_100, usd=0.32, loop=at)
    script.add(T.STEP_COMPLETE, 1, step="fix", outputs={}, detail=None)
    script.step("review", 240, tokens=130_000, usd=0.44)
    script.add(T.STEP_SKIP, 1, step="docs", outputs={})
    script.add(T.WORKFLOW_COMPLETE, 2)
    return timeline(1, script.records, script.at, running=False)


def _second_iteration() -> IterationReport:
    script = JournalScript(BEGIN + timedelta(hours=5))
    script.start()
    script.step("plan", 60, tokens=22_000, usd=0.09)
    script.step("baseline", 36)
    script.step("implement", 320, tokens=150_000, usd=0.49)
    script.add(T.STEP_START, 1, step="fix")
    script.add(T.LOOP_ITERATION, 0, step="fix", iteration=1)
    script.step("test", 43, loop=[{"step": "fix", "iteration": 1, "index": 0}])
    script.add(T.STEP_COMPLETE, 1, step="fix", outputs={}, detail=None)
    script.step("review", 180, tokens=84_000, usd=0.28)
    script.step("docs", 95, tokens=30_100, usd=0.11)
    script.add(T.WORKFLOW_COMPLETE, 2)
    report = timeline(2, script.records, script.at, running=False)
    report.instructions = (
        "Keep the old token format readable for one release, and say so in the docs."
    )
    return report


PATCH: Final = '''\
diff --git a/.github/workflows/ci.yml b/.github/workflows/ci.yml
index 1111111..2222222 100644
--- a/.github/workflows/ci.yml
+++ b/.github/workflows/ci.yml
@@ -12,6 +12,7 @@ jobs:
       - uses: actions/checkout@v5
       - run: make dev
       - run: make test
+      - run: make test-tokens
diff --git a/src/login/tokens.py b/src/login/tokens.py
index 3333333..4444444 100644
--- a/src/login/tokens.py
+++ b/src/login/tokens.py
@@ -1,15 +1,29 @@
 """Tokens of a session."""
~
 import hmac
+import time
 from dataclasses import dataclass
~
-LIFETIME = 86400
+LIFETIME = 15 * 60
+"""Seconds. A token that leaks is worth a quarter of an hour."""
~
~
 @dataclass(frozen=True)
 class Token:
     user: str
-    issued: int
+    issued: float
+    family: str
+
+    def expired(self, now: float | None = None) -> bool:
+        """Whether the token is too old to be accepted."""
+        return (now or time.time()) - self.issued > LIFETIME
~
~
 def sign(token: Token, key: bytes) -> str:
-    return hmac.new(key, token.user.encode(), "sha1").hexdigest()
+    text = f"{token.user}|{token.issued:.0f}|{token.family}"
+    return hmac.new(key, text.encode(), "sha256").hexdigest()
diff --git a/tests/test_tokens.py b/tests/test_tokens.py
new file mode 100644
index 0000000..5555555
--- /dev/null
+++ b/tests/test_tokens.py
@@ -0,0 +1,9 @@
+from login.tokens import LIFETIME, Token
+
+
+def test_a_token_expires() -> None:
+    assert Token("ada", 0.0, "f").expired(LIFETIME + 1)
+
+
+def test_a_fresh_token_is_accepted() -> None:
+    assert not Token("ada", 0.0, "f").expired(LIFETIME - 1)
'''.replace("~\n", " \n")
"""`~` stands for an empty line of context: no line of this file ends with a blank."""

LOG: Final = (
    "--- attempt 2, fix 2, 2026-11-30T12:41:07+00:00\n$ make test\n"
    "\x1b[1m============ test session starts ============\x1b[0m\n"
    "tests/test_login.py \x1b[32m......................................\x1b[0m [ 31%]\n"
    "tests/test_tokens.py \x1b[32m..\x1b[0m\x1b[33ms\x1b[0m [100%]\n"
    "\x1b[32m============ \x1b[1m120 passed\x1b[0m\x1b[32m, \x1b[33m1 skipped\x1b[0m"
    "\x1b[32m in 38.12s ============\x1b[0m\nexit status 0\n"
)

DESCRIPTION: Final = """\
Session tokens live for a day, and a stolen one cannot be revoked.

- Let a token live for **15 minutes**, with a refresh token beside it.
- A refresh token is used once; if it comes back, revoke its family.
- Sign with SHA-256. See `src/login/tokens.py` and [the issue](https://github.com/acme/shop/issues/212).
"""
SUMMARY: Final = """\
Tokens now live for 15 minutes and are signed with SHA-256 over all of their fields. A refresh token
is stored with its family; using one twice revokes the family (`revoke_family`).

The old format is still read until the next release. I changed CI so that the new tests run there,
which you should look at.
"""


def usual_report(**changes: Any) -> TaskReport:
    """A task of two iterations that waited once for its provider."""
    iterations = [_first_iteration(), _second_iteration()]
    for iteration, total in zip(iterations, ((3, 31, 6), (4, 58, 9)), strict=True):
        iteration.files, iteration.added, iteration.removed = total
    made_at = BEGIN + timedelta(hours=5, minutes=20)
    usage = iterations[0].usage.plus(iterations[1].usage)
    values: dict[str, Any] = {
        "made_at": made_at,
        "task": usual_task(usage),
        "description": DESCRIPTION,
        "checks": "passed: Run the tests",
        "summary": SUMMARY,
        "worked_s": sum(one.worked_s for one in iterations),
        "waits": waits_of(iterations, made_at),
        "models": [
            ModelReport(provider="anthropic", model="claude-sonnet-5", calls=87, usage=usage)
        ],
        "iterations": iterations,
        "patch": PATCH,
        "logs": [
            LogReport(
                iteration=2, step="test", size=len(LOG), text=LOG,
                path=f"/home/ada/.local/share/rover/tasks/{TASK_ID}/iterations/2/run/logs/test.log",
            )
        ],
        "provenance": _provenance(),
    }  # fmt: skip
    return TaskReport(**values | changes)


def usual_task(usage: Usage) -> TaskView:
    """The view of that task."""
    paths = [
        FileChange(path=".github/workflows/ci.yml", added=1, removed=0, run_by="GitHub Actions"),
        FileChange(path="src/login/tokens.py", added=14, removed=4),
        FileChange(path="tests/test_tokens.py", added=9, removed=0),
    ]
    return TaskView(
        id=TASK_ID, number=12, repo_path="/home/ada/shop",
        title="Make session tokens short-lived and revocable", status=TaskStatus.COMPLETED,
        phase="completed", progress=100, branch="rover/12-short-lived-tokens", base_branch="main",
        base_commit="8f2c1d9e0a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d", workflow="swe-tdd", agent="claude",
        model="claude-sonnet-5", engine="docker", network="allowlist", iteration=2, attempt=3,
        created_at=BEGIN - timedelta(minutes=1), updated_at=BEGIN + timedelta(hours=5, minutes=14),
        duration_s=2600, usage=usage, budget=BudgetView(usd=10, spent_tokens=usage.tokens),
        changes=ChangesView(files=3, added=24, removed=4, run_by={"GitHub Actions": 1}, paths=paths),
        warnings=["2 answers of anthropic's claude-sonnet-5 were cut off: their usage is estimated"],
        next_actions=[
            NextAction(tool="get_diff", arguments={"task": TASK_ID}, why="review what it changed")
        ],
    )  # fmt: skip


def _provenance() -> Provenance:
    context = ContextView(
        origin="github:acme/shop/issue/212", title="Stolen session tokens cannot be revoked",
        bytes=5312, sha256="9b" * 32, fetched_at=BEGIN - timedelta(minutes=1),
    )  # fmt: skip
    return Provenance(
        asked_by="the user of this machine", created_at=BEGIN - timedelta(minutes=1),
        base_commit="8f2c1d9e0a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d", commit="c4" * 20, tree="7d" * 20,
        workflow="swe-tdd", agents=[AgentReport(name="claude", version="2.1.4")], engine="docker",
        images=["rover-task:5d1f0c2e9a7b"], config_digest="5e" * 32, description_sha256="1a" * 32,
        context=[context], rover="0.1.0",
    )  # fmt: skip
