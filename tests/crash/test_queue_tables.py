"""If the queue's tables are lost or damaged, that is reported and they are created again."""

from __future__ import annotations

import functools
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rover_mcp.cli.doctor_command import judge_status
from rover_mcp.control import queue_tables
from rover_mcp.daemon.repair import repair
from rover_mcp.daemon.survey import survey
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.migrations import database_url, open_database
from tests.e2e.conftest import end_daemon
from tests.support.frames import LauncherClient
from tests.support.planes import open_plane
from tests.support.postgres import Cluster
from tests.support.repos import make_repository
from tests.support.scripts import fix_after_credits

TABLES = (
    "workflow_status", "workflow_input", "workflow_output", "operation_outputs", "notifications",
    "workflow_events", "workflow_events_history", "streams", "workflow_schedules",
    "application_versions", "queues", "dbos_migrations",
)  # fmt: skip
HARM = (
    *[f"DROP TABLE {table}" for table in TABLES],
    *[f"DROP TABLE {name}; CREATE TABLE {name} (x)" for name in ("queues", "dbos_migrations")],
    "DROP TABLE streams; CREATE VIEW streams AS SELECT 1 AS value",
    "ALTER TABLE workflow_status DROP COLUMN executor_id",
    "ALTER TABLE operation_outputs RENAME COLUMN output TO put",
    "DELETE FROM dbos_migrations",
    "UPDATE dbos_migrations SET version = 0",
    "INSERT INTO dbos_migrations VALUES (7)",
)


@functools.cache
def whole() -> bytes:
    """A data folder's database in which nothing is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/rover.db"
        open_database(url).dispose()
        queue_tables.prepare(url)
        with sqlite3.connect(f"{folder}/rover.db") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return Path(folder, "rover.db").read_bytes()


def harm(path: Path, script: str) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(script)
    database.close()


@pytest.mark.parametrize("script", HARM)
def test_what_the_queue_lacks_is_named(tmp_path: Path, script: str) -> None:
    """U7. DBOS launched all the same, and each attempt failed; or it never launched, which only
    daemon.log said."""
    (tmp_path / "rover.db").write_bytes(whole())
    assert survey(tmp_path) == []
    harm(tmp_path / "rover.db", script)
    (said,) = survey(tmp_path)
    assert "no task can be started" in said


@pytest.mark.parametrize("script", [HARM[0], *HARM[-7:]])
def test_what_the_queue_lacks_is_made_anew(tmp_path: Path, script: str) -> None:
    """U7. Neither DBOS nor `--repair` did."""
    (tmp_path / "rover.db").write_bytes(whole())
    harm(tmp_path / "rover.db", script)
    (said,) = survey(tmp_path)
    with pytest.raises(EnvironmentFault) as refused:
        queue_tables.prepare(database_url(tmp_path))
    assert refused.value.message in said
    assert "rover doctor --repair" in str(refused.value.hint)
    (done,) = repair(tmp_path)
    assert "rebuilt" in done
    assert survey(tmp_path) == repair(tmp_path) == []


def test_an_older_version_of_the_tables_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """U7. DBOS brings them up to date when it starts; where it cannot, that is said then."""
    (tmp_path / "rover.db").write_bytes(whole())
    harm(tmp_path / "rover.db", "UPDATE dbos_migrations SET version = version - 1")
    assert survey(tmp_path) == []
    harm(tmp_path / "rover.db", "UPDATE dbos_migrations SET version = 3")
    assert survey(tmp_path) == []
    assert "rebuilt" in repair(tmp_path)[0]


def rover(home: Path, *argv: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--json", "--home", str(home), *argv],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="rover-queue-"))
    make_repository(made / "repo")
    yield made
    end_daemon(made / "data")
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def daemon(folder: Path) -> Generator[LauncherClient]:
    """A client and its daemon, which ends once the client has left that would start another."""
    with LauncherClient(folder / "data", folder / "repo") as client:
        client.open()
        yield client
    end_daemon(folder / "data")


def create(client: LauncherClient) -> str:
    return client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted",
        engine="bubblewrap", script=fix_after_credits(), auto_resume=False,
    )["task"]["id"]  # fmt: skip


def test_a_daemon_whose_queue_is_lost_says_so_and_loses_no_task(folder: Path) -> None:
    """U7. The daemon answered, and no task began; only daemon.log said why."""
    home = folder / "data"
    with daemon(folder) as client:
        paused = create(client)
        client.wait_until(paused, "PAUSED")
        assert "cannot_start" not in client.tool("get_status")
    harm(home / "rover.db", "DROP TABLE workflow_status; DROP TABLE operation_outputs")
    with daemon(folder) as client:
        told = client.tool("get_status")["cannot_start"]
        assert "operation_outputs, workflow_status are missing" in told["message"]
        assert "rover doctor --repair" in told["hint"]
        code, status = rover(home, "status")
        assert (code, status["cannot_start"]) == (0, told)
        checks = judge_status(client.tool("get_status"))
        (check,) = [check for check in checks if check.name == "queue"]
        assert (check.ok, check.needed, check.todo) == (False, True, told["hint"])
        new = create(client)
        client.tool("resume_task", task=paused)
        assert client.tool("inspect", task=new)["task"]["status"] == "NEW"
    code, done = rover(home, "doctor", "--repair")
    assert (code, len(done["done"])) == (0, 1), done
    with daemon(folder) as client:
        client.wait_until(new, "PAUSED")
        client.wait_until(paused, "COMPLETED")
        assert "cannot_start" not in client.tool("get_status")
        harm(home / "rover.db", "DROP TABLE queues")
        assert "queues is missing" in client.tool("get_status")["cannot_start"]["message"]


def test_on_postgresql_the_tables_before_are_kept(tmp_path: Path) -> None:
    """U7. The schema may be another program's, too."""
    cluster = Cluster()
    cluster.start()
    url, home = cluster.new_database(), tmp_path / "home"
    engine = sa.create_engine(url)
    try:
        with open_plane(home, url, database=url) as plane:
            task = plane.create()
            plane.reaches(task, TaskStatus.COMPLETED)
        assert queue_tables.unusable(engine) is None
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE dbos.operation_outputs")
        (home / "config.yaml").write_text(f"database: {url}\n")
        with pytest.raises(EnvironmentFault):
            queue_tables.prepare(url)
        assert "operation_outputs is missing" in survey(home)[0]
        assert "keeps those before" in repair(home)[0]
        assert survey(home) == repair(home) == []
        with open_plane(tmp_path / "new", url, database=url) as plane:
            plane.reaches(plane.create(), TaskStatus.COMPLETED)
        kept = [s for s in sa.inspect(engine).get_schema_names() if s.startswith("dbos_damaged_")]
        assert len(kept) == 1
    finally:
        engine.dispose()
        cluster.stop()
