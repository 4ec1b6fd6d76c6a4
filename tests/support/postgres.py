"""A private PostgreSQL cluster in a temporary folder, reached by a unix socket only."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.e2e.processes import wait_until
from tests.support.hangs import HANG_SECONDS

USER = "rover"


def _search_path() -> str:
    """PATH, and after it where Debian puts the programs of each version of the server."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return os.pathsep.join([os.environ["PATH"], *map(str, reversed(versions))])


class Cluster:
    """Runs as a plain user, for PostgreSQL refuses root. Nothing of it survives `stop`."""

    def __init__(self) -> None:
        # Not under pytest's own folder, which no other user may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="rover-pg-", dir="/tmp"))
        self._server: subprocess.Popen[bytes] | None = None
        self._names = (f"test_{n}" for n in itertools.count(1))
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody")

    def start(self) -> None:
        data = str(self._folder / "data")
        initdb = [
            "initdb",
            "-D",
            data,
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--no-locale",
        ]
        with self._spawn(initdb) as done:
            assert done.wait(120) == 0, (self._folder / "log").read_text()
        quick = ["-c", "fsync=off", "-c", "max_connections=200"]
        self._server = self._spawn(
            ["postgres", "-D", data, "-k", str(self._folder), "-c", "listen_addresses=", *quick]
        )
        self._until_it_answers()

    def stop(self) -> None:
        """At once: no data of a test are worth a checkpoint."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(HANG_SECONDS)
        shutil.rmtree(self._folder)

    def _until_it_answers(self) -> None:
        wait_until(lambda: self._has_ended() or self._answers(), "PostgreSQL answers")
        assert not self._has_ended(), (self._folder / "log").read_text()

    def _has_ended(self) -> bool:
        return self._server is None or self._server.poll() is not None

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self._conninfo("postgres")).close()
            return True
        return False

    def new_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = next(self._names)
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # pyright: ignore[reportArgumentType, reportCallIssue]
        return f"postgresql+psycopg://{USER}@/{name}?host={self._folder}"

    def _conninfo(self, database: str) -> str:
        return f"host={self._folder} user={USER} dbname={database}"

    def _spawn(self, argv: list[str]) -> subprocess.Popen[bytes]:
        who = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                argv,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": _search_path(), "LC_ALL": "C"},
                user=who.pw_uid if who else None,
                group=who.pw_gid if who else None,
                extra_groups=[] if who else None,
            )
