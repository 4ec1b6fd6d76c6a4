"""A private PostgreSQL cluster in a temporary folder, reached by a unix socket only."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

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
            assert done.wait(300) == 0, (self._folder / "log").read_text()
        quick = ["-c", "fsync=off", "-c", "max_connections=200"]
        self._server = self._spawn(
            ["postgres", "-D", data, "-k", str(self._folder), "-c", "listen_addresses=", *quick]
        )
        self._until_it_answers()

    def stop(self) -> None:
        """At once: no data of a test are worth a checkpoint."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(300)
        shutil.rmtree(self._folder)

    def _until_it_answers(self) -> None:
        end = time.monotonic() + 300
        while True:
            try:
                psycopg.connect(self._conninfo("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self._folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

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
