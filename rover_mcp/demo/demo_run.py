"""`rover demo`: the main job from start to finish, over the real launcher, with everything checked.

A scripted agent plays the model's part, so it costs nothing. Everything else is what a user has:
the launcher on stdio, the daemon, a sandbox, the journal, git.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TextIO

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError, McpClient
from rover_mcp.cli.pauses import pause_lines
from rover_mcp.cli.render_diff import diff_lines
from rover_mcp.cli.terminal_text import Paint, clean
from rover_mcp.cli.watch_command import Follower
from rover_mcp.demo.checks import Checks
from rover_mcp.demo.demo_environment import SCRIPT, DemoEnvironment
from rover_mcp.demo.narrator import Narrator

DESCRIPTION = """\
Make split_bill lose no cent
The shares must add up to the total and differ by a cent at most. test_bill.py says so.
"""
COMMENT = {"file": "bill.py", "line": 5, "text": "Say who pays the cents that are left over."}
"""The reviewer's remark. The scripted agent's last turn answers it."""
PUSH_BOUND = 5.0


def command(args: argparse.Namespace) -> int:
    """`rover demo`."""
    return run(engine=args.engine, keep=args.keep, home=args.home)


def run(*, engine: str = "auto", keep: bool = False, home: str | None = None) -> int:
    """Play the demo. 0 if everything was as it should be, else 1."""
    stage = DemoEnvironment(home, keep=keep)
    try:
        return Demo(stage, engine, sys.stdout).play()
    except (ClientError, CannotRun) as error:
        hint, call = getattr(error, "hint", None), getattr(error, "next_call", None)
        print("\n".join(["", *render.error(str(error), hint, call, Paint(sys.stdout))]))
        log = stage.home / "daemon.log"
        if keep and log.exists():
            print(f"  the daemon's log: {log}")
        return 1
    # The usual status of a program that was interrupted: 128 and the signal's number.
    except KeyboardInterrupt:
        return 130
    finally:
        stage.close()
        if keep:
            print(f"\nKept: {stage.root}")


class CannotRun(Exception):
    """The demo cannot be played here. `hint` says what would change that."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Demo:
    """Prints the story as it happens."""

    def __init__(self, stage: DemoEnvironment, engine: str, out: TextIO) -> None:
        self._stage = stage
        self._engine = engine
        self._out = Narrator(out)
        self._paint = self._out.paint
        self._checks = Checks()
        self._frames: list[bytes] = []
        self._engines: list[str] = []

    def play(self) -> int:
        """All chapters in order."""
        paint = self._paint
        self._out.say(f"{paint('Rover', 'bold')}: hand over a task, pause, resume, review, merge.")
        self._out.say(paint("The agent is scripted: no key, no cost. All else is real.", "dim"))
        self._repository()
        client = self._session()
        task = self._create(client)
        paused = self._until_paused(client, task)
        self._resume(client, paused)
        done = self._until_done(client, paused)
        self._tests(client, done)
        self._diff(client, done)
        self._branch(done)
        self._iterate(client, done)
        self._merge(client, done)
        self._leave()
        return self._verdict()

    def _repository(self) -> None:
        self._out.title("A repository with a failing test")
        self._stage.make_repository()
        before = self._stage.run_tests()
        self._out.say(f"{self._stage.repo}, branch main, 1 commit")
        self._out.say(self._paint("$ python3 -m unittest", "dim"))
        for line in before.stderr.splitlines():
            if line.startswith(("FAIL:", "AssertionError", "FAILED")):
                self._out.say(self._paint(line, "red"))
        self._checks.note("the tests failed before", before.returncode != 0)
        self._checks.remember(self._stage)

    def _session(self) -> McpClient:
        self._out.title("An assistant starts rover-mcp and opens a session over stdio")
        begin = time.monotonic()
        client = self._stage.launch()
        client.on_frame = self._on_frame
        client.initialize()
        client.call("list_tasks")  # only the daemon answers that
        took = time.monotonic() - begin
        server = client.server["serverInfo"]
        self._out.say(
            f"{server['name']} {server['version']}, MCP {client.server['protocolVersion']}: "
            f"answered after {took:.2f} s, with the start of the daemon"
        )
        warm = self._stage.time_another_launcher()
        self._out.say(f"a second assistant, with the daemon running: answered after {warm:.2f} s")
        self._choose_engine(client.call("get_status"))
        return client

    def _choose_engine(self, status: Json) -> None:
        engines: list[Json] = status["engines"]
        works = [e for e in engines if e["available"]]
        for entry in engines:
            good = bool(entry["available"])
            why = entry.get("version") if good else entry.get("reason")
            mark = self._paint("✔", "green") if good else self._paint("–", "yellow")
            # All engines are listed with their reasons, for those whom the demo is the first check
            # of their machine.
            self._out.say(f"{mark} {entry['name']}  {self._paint(clean(why or ''), 'dim')}")
        self._engines = [str(e["name"]) for e in works]
        wanted = [e for e in engines if self._engine in ("auto", e["name"])]
        if not any(e in works for e in wanted):
            hints = "; ".join(f"{e['name']}: {clean(e.get('hint') or '')}" for e in wanted)
            raise CannotRun("no engine works here that could run a sandbox", hints)

    def _create(self, client: McpClient) -> Json:
        self._out.title("It hands over a task")
        self._out.say(self._paint(f'"{DESCRIPTION.splitlines()[0]}"', "bold"))
        result = client.call(
            "create_task",
            description=DESCRIPTION,
            repo_path=str(self._stage.repo),
            workflow="demo",
            agent="scripted",
            script=SCRIPT.read_text("utf-8"),
            engine=self._engine,
        )
        task: Json = result["task"]
        self._stage.tasks.append((str(task.get("engine")), task["id"]))
        engine = self._paint(str(task.get("engine")), "bold", "cyan")
        self._out.say(f"task {task['number']} on branch {clean(task['branch'])}, sandbox: {engine}")
        return task

    def _until_paused(self, client: McpClient, task: Json) -> Json:
        self._out.title("Its steps, as they happen")
        result = Follower(client, task, self._out.show).follow()
        view: Json = result["task"]
        if self._may_fall_back(view):
            self._out.say(
                self._paint(f"{view['engine']}: {clean(view.get('error') or '')}", "yellow")
            )
            self._out.say("it cannot run a sandbox here: bubblewrap instead")
            self._engine = "bubblewrap"
            return self._until_paused(client, self._create(client))
        if result["returned"] != "paused" or not view.get("steps"):
            raise self._went_wrong(client, view, "it should have paused in its second step")
        self._out.title("The credits run out: it pauses, and says so")
        self._show_pause(client, view)
        for line in pause_lines(view, self._paint):
            self._out.say(line)
        reason = view["pause"]["reason"]
        self._checks.note("wait_for_task returned with the reason: credits", reason == "credits")
        self._checks.before_resume(view)
        return view

    def _may_fall_back(self, view: Json) -> bool:
        """An engine that answers may still be unable to get its image (no registry)."""
        unused = self._engine == "auto" and view.get("engine") != "bubblewrap"
        return unused and not view.get("steps") and "bubblewrap" in self._engines

    def _show_pause(self, client: McpClient, view: Json) -> None:
        """The two notifications, byte for byte. They may come just after the tool's answer."""
        until = time.monotonic() + PUSH_BOUND
        pauses: list[bytes] = []
        while not pauses and time.monotonic() < until:
            pauses = [f for f in self._frames if _is_pause(json.loads(f), view["id"])]
            if not pauses:
                client.pump(0.1)
        updated = [f for f in self._frames if _is_update(json.loads(f), view["id"])]
        self._out.say(self._paint("on the wire, as it arrived:", "dim"))
        for frame in (*updated[-1:], *pauses[-1:]):
            text = clean(frame.decode(errors="replace"), one_line=False)
            self._out.say(f"{self._paint('←', 'yellow')} {text}")
        self._checks.note("the pause arrived as notifications/message", bool(pauses))
        self._checks.note("… and as notifications/resources/updated", bool(updated))

    def _resume(self, client: McpClient, view: Json) -> None:
        self._out.title("Credits are there again: resume_task")
        result = client.call("resume_task", task=view["id"])
        self._out.say(f"{self._paint(result['result'], 'bold')}, from its checkpoint")
        note = self._checks.note
        note("resume_task found the checkpoint", result["has_checkpoint"] is True)
        note("… and resumed it", result["result"] == "resumed")
        mark = self._paint("⤼", "dim")
        for step in view.get("steps") or ():
            if step["status"] == "completed":
                self._out.say_at(f"{mark} {clean(step['name']):<10} is finished: not run again")
            else:
                self._out.show_again(step["id"])

    def _until_done(self, client: McpClient, task: Json) -> Json:
        result = Follower(client, task, self._out.show).follow()
        view: Json = client.call("inspect", task=task["id"], detail="full")["task"]
        if view["status"] != "COMPLETED":
            raise self._went_wrong(client, view, "it should have completed")
        self._checks.note("the task is COMPLETED", result["returned"] == "ended")
        self._checks.after_resume(view)
        usage: Json = view.get("usage") or {}
        cost = usage.get("cost_usd")
        self._out.say(
            f"{usage.get('input_tokens', 0):,} tokens in, {usage.get('output_tokens', 0):,} out"
            + (f", ${cost:.4f}" if cost is not None else "")
            + self._paint("  (as the script says; none were bought)", "dim")
        )
        return view

    def _tests(self, client: McpClient, view: Json) -> None:
        self._out.title("The test run, as the sandbox printed it")
        text = clean(client.call("get_logs", task=view["id"], step="test")["text"], one_line=False)
        for line in text.splitlines():
            good = line.rstrip().endswith("ok") or line.strip() == "OK"
            self._out.say(self._paint(line, "green" if good else "dim"))
        self._checks.note("the tests are green in the sandbox", "OK" in text.split())

    def _diff(self, client: McpClient, view: Json) -> None:
        self._out.title("The diff, for review")
        result = client.call("get_diff", task=view["id"])
        for line in diff_lines({**result, "attention": []}, self._paint):
            self._out.say(line)
        self._checks.diff(result, self._stage, view)

    def _branch(self, view: Json) -> None:
        self._out.title("The branch, in the repository of the user")
        git = self._stage.git
        for command in (("log", "--oneline", "--graph", "--all"), ("branch",), ("status", "-sb")):
            self._out.say(self._paint(f"$ git {' '.join(command)}", "dim"))
            for line in git(*command).splitlines():
                self._out.say(clean(line, one_line=False))
        self._checks.branch(self._stage, view)

    def _iterate(self, client: McpClient, task: Json) -> None:
        self._out.title("The review: a comment on a line, for the same task")
        self._out.say(f"{COMMENT['file']}:{COMMENT['line']}  {COMMENT['text']}")
        client.call("iterate_task", task=task["id"], comments=[COMMENT])
        self._out.new_iteration()
        view: Json = Follower(client, task, self._out.show).follow()["task"]
        if view["status"] != "COMPLETED":
            raise self._went_wrong(client, view, "its second iteration should have completed")
        self._checks.after_iteration(self._stage, view)

    def _merge(self, client: McpClient, task: Json) -> None:
        """By fast-forward, which needs no name and address of the user's for a commit."""
        self._out.title("The merge: first a preview, then for real")
        preview = client.call("merge_task", task=task["id"], mode="ff")
        self._out.say(f"{preview['status']}: {clean(preview['message'])}")
        self._checks.preview(self._stage, preview)
        result = client.call("merge_task", task=task["id"], mode="ff", confirm=True)
        self._out.say(f"{result['status']}: {clean(result['message'])}")
        self._checks.merged(self._stage, result)

    def _leave(self) -> None:
        code, took = self._stage.end_launcher()
        self._checks.note(f"the launcher left {took * 1000:.0f} ms after its stdin", code == 0)

    def _verdict(self) -> int:
        self._out.title("Proven")
        for claim, held in self._checks.claims:
            mark = self._paint("✔", "green") if held else self._paint("✘", "red", "bold")
            self._out.say(f"{mark} {claim}")
        if failed := self._checks.failed:
            self._out.say("")
            self._out.say(self._paint(f"{len(failed)} claims did not hold.", "red", "bold"))
            return 1
        self._out.say("")
        self._out.say(
            f"{self._paint('All of it held.', 'green', 'bold')} {self._out.elapsed():.1f} s"
        )
        self._next()
        return 0

    def _next(self) -> None:
        """What a person does after it: their first real task."""
        rover = sys.argv[0] if sys.argv[0].endswith("/rover") else "rover"
        self._out.title("Next: your first real task")
        for command, why in (
            ("setup --write", "into your assistants; asks for the login of your claude or codex"),
            ("doctor", "whether an agent can work here, and what is missing if not"),
            ('create "Fix the failing test" --watch', "in one of your repositories"),
        ):
            self._out.say(f"{self._paint(f'{rover} {command}', 'cyan')}  {self._paint(why, 'dim')}")

    def _went_wrong(self, client: McpClient, view: Json, expected: str) -> ClientError:
        """Everything that helps to see why."""
        for line in render.task({"task": view}, self._paint):
            self._out.say(line)
        try:
            log = client.call("get_logs", task=view["id"], tail=20)
            self._out.say(clean(log["text"], one_line=False))
            client.call("cancel_task", task=view["id"])
        except ClientError as error:
            self._out.say(self._paint(error.message, "dim"))
        return ClientError(f"the task is {view['status']}: {expected}")

    def _on_frame(self, direction: str, line: bytes) -> None:
        if direction == "<-" and b'"method":"notifications/' in line:
            self._frames.append(line)


def _is_pause(message: Json, task_id: str) -> bool:
    params: Json = message.get("params") or {}
    data: Json = params.get("data") or {}
    about = data.get("event") == "task.paused" and data.get("task") == task_id
    return about and message["method"] == "notifications/message"


def _is_update(message: Json, task_id: str) -> bool:
    params: Json = message.get("params") or {}
    about = params.get("uri") == f"rover://tasks/{task_id}"
    return about and message["method"] == "notifications/resources/updated"
