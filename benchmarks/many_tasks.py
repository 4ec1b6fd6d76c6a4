"""list_tasks, inspect and get_status with 10,000 tasks, beside the same with 100.

Goal: within 1.3 times, a page under 2,000 tokens. One task is run for real in each data folder;
while no daemon runs, all that it left (its rows in every table, those of the durable queue too, and
its folder, as hard links) is copied under new ids. The clock runs from the call to its answer,
through the launcher.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.tables import Row, interleaved, median_ms, show, timed
from rover_mcp.demo.demo_environment import end_daemon
from tests.e2e.processes import wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import make_repository
from tests.support.scripts import script

FEW, MANY = 100, 10_000
ROUNDS = 40
CHARACTERS_A_TOKEN = 4
CALLS = {
    "list_tasks": {},
    "list_tasks, COMPLETED only": {"status": ["COMPLETED"]},
    "inspect": {"task": "1"},
    "get_status": {},
}


def run_one(home: Path, repository: Path) -> str:
    """The id of a task that has completed in a new data folder, whose daemon has ended."""
    with closing(LauncherClient(home, repository)) as client:
        client.open()
        task = client.tool(
            "create_task", description="Write down what the parser does", workflow="quick",
            agent="scripted", engine="bubblewrap",
            script=script(implement=[{"edits": [{"path": "notes.md", "content": "It parses.\n"}]}]),
        )["task"]  # fmt: skip
        client.wait_until(task["id"], "COMPLETED")
        # Else each copy would be brought back as unfinished work.
        wait_until(lambda: not unfinished(home / "rover.db"), "the durable queue is done with it")
    end_daemon(home)
    return task["id"]


def unfinished(database: Path) -> int:
    """Workflows of the durable queue that are not over."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM workflow_status WHERE status NOT IN ('SUCCESS', 'ERROR')"
        return connection.execute(query).fetchone()[0]


def copy_rows(database: Path, task: str, copies: list[str]) -> None:
    """What any table holds of the task, again for each of `copies`."""
    with closing(sqlite3.connect(database)) as connection, connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in names.fetchall():
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in cursor.description]
            found = [row for row in cursor if task in repr(row)]
            rows = [
                _again(columns, row, task, copy, number)
                for number, copy in enumerate(copies, start=2)
                for row in found
            ]
            marks = ",".join("?" * len(columns))
            connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)
        connection.execute("UPDATE rover_projects SET next_number = ?", (len(copies) + 1,))


def _again(columns: list[str], row: tuple[object, ...], task: str, copy: str, number: int) -> list:
    made: list[object] = []
    for column, value in zip(columns, row, strict=True):
        if column == "seq":
            made.append(None)
        elif column == "number":
            made.append(number)
        elif column == "created_at" and isinstance(value, float):
            # Tasks have times of their own; equal ones would have to be sorted at each call.
            made.append(value - number)
        elif column == "branch":
            made.append(f"rover/{number}-notes")
        elif isinstance(value, str):
            made.append(value.replace(task, copy).replace(task[:12], copy[:12]))
        else:
            made.append(value)
    return made


def copy_folder(tasks: Path, task: str, copies: list[str]) -> None:
    for copy in copies:
        subprocess.run(["cp", "-al", tasks / task, tasks / copy], check=True)


@contextmanager
def data_folder(folder: Path, tasks: int) -> Generator[LauncherClient]:
    """A client of a daemon that has as many tasks."""
    home, repository = folder / "home", make_repository(folder / "repo")
    home.mkdir()
    (home / "config.yaml").write_text("spare_sandboxes: 0\n")
    task = run_one(home, repository)
    copies = [secrets.token_hex(16) for _ in range(tasks - 1)]
    copy_rows(home / "rover.db", task, copies)
    copy_folder(home / "tasks", task, copies)
    with closing(LauncherClient(home, repository)) as client:
        client.open()
        yield client
    end_daemon(home)


def call_tool(client: LauncherClient, call: str) -> Frame:
    return client.tool(call.partition(",")[0], **CALLS[call])


def main() -> None:
    """Print the section of the table."""
    folder = Path(tempfile.mkdtemp(prefix="rover-bench-"))
    (folder / "few").mkdir()
    (folder / "many").mkdir()
    with data_folder(folder / "few", FEW) as few, data_folder(folder / "many", MANY) as many:
        sizes = {f"{FEW} tasks": few, f"{MANY:,} tasks": many}
        subjects = {
            f"{call}, {size}": partial(call_tool, client, call)
            for call in CALLS
            for size, client in sizes.items()
        }
        interleaved({what: timed(subject) for what, subject in subjects.items()}, 3)
        times = interleaved({what: timed(subject) for what, subject in subjects.items()}, ROUNDS)
        answers = {call: call_tool(many, call) for call in CALLS}
    shutil.rmtree(folder)
    rows: list[Row] = []
    for call in CALLS:
        least, most = (median_ms(times[f"{call}, {size}"]) for size in sizes)
        rows.append(Row(f"{call}, {FEW} tasks", least))
        rows.append(Row(f"{call}, {MANY:,} tasks", most, f"{FEW} tasks", most / least, "1.3"))
    show(f"Calls beside many tasks (median of {ROUNDS}, interleaved)", rows)
    for call, answer in answers.items():
        print(f"  {call}: {_tokens(answer):.0f} tokens (goal of a page: 2,000)")


def _tokens(answer: Frame) -> float:
    return len(json.dumps(answer, separators=(",", ":"))) / CHARACTERS_A_TOKEN


if __name__ == "__main__":
    main()
