"""`python -m tests.matrix [agent ...]`: run the matrix and write its table into docs/agents.md.

Without names all agents. The column of an agent that is not run stays as its last run left it, with
the day of that run.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.matrix.cells import AGENTS, CellResult
from tests.matrix.column import Column
from tests.matrix.page import PAGE, with_table
from tests.support.docker_env import cache_folder, docker_engine, remove_sandboxes
from tests.support.fake_models import FakeModels


def run_column(agent: str, address: str | None, concurrency: int = 4) -> list[CellResult]:
    """One agent's column in a folder of its own, with a daemon that ends with it."""
    from tests.e2e.conftest import end_daemon

    folder = Path(tempfile.mkdtemp(prefix="rover-matrix-"))
    try:
        with FakeModels() as provider:
            column = Column(agent, folder, provider, address, concurrency)
            try:
                return column.run()
            finally:
                end_daemon(column.home)
    finally:
        if address:
            remove_sandboxes(folder / "data", address)
        shutil.rmtree(folder, ignore_errors=True)


def main(agents: list[str]) -> int:
    os.environ.setdefault("ROVER_AGENT_CACHE", str(cache_folder() / "agents"))
    seen: list[CellResult] = []
    with docker_engine() as address:
        os.environ["DOCKER_HOST"] = address
        for agent in agents or AGENTS:
            column = run_column(agent, address)
            seen += column
            for cell in column:
                told = "; ".join(cell.wrong) or "ok"
                print(f"{agent:10} {cell.cell:12} {cell.seconds:6.1f} s  {told}", flush=True)
    day = datetime.now(UTC).date().isoformat()
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), seen, day), "utf-8")
    return 1 if any(cell.wrong for cell in seen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
