"""A report of a task with 500 steps, 40 pauses, 5 iterations and 20 MB of logs.

Goal: under 2 MB, and less than 2 s of processor time: what the daemon reads and redacts, with 20
secrets known, and what the command renders, the imports of a new process included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from agent_runner.models import RunStatus
from rover_mcp.domain.secret_hiding import hide_secrets
from rover_mcp.domain.secret_search import GATEWAY_KEY, KnownValues
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.report.gather_report import GatherReport
from tests.support.desk import open_desk
from tests.support.large_tasks import write_large_task
from tests.support.samples import run_state, task_row

SECRETS = [f"sesame-{n}-open-{n * 7919}".encode() for n in range(20)]
PATCH_BYTES = 200_000
"""As much as the daemon gives of a patch."""
RENDER = (
    "import sys; from pathlib import Path; from rover_mcp.cli.report_command import page_of; "
    "Path(sys.argv[2]).write_text(page_of(Path(sys.argv[1]).read_bytes()))"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, open_desk(Path(name)) as desk:
        state = run_state(RunStatus.COMPLETED)
        task = replace(
            task_row(iteration=5, status=TaskStatus.COMPLETED, run_state=state), ended_at=1.0
        )
        write_large_task(desk.home, task.id)
        line = "+    return compute(value, 'text') if value else None  # why\n"
        desk.work.patch = f"diff --git a/x.py b/x.py\n@@ -0,0 +1,3000 @@\n{line * 3300}"[
            :PATCH_BYTES
        ]
        known = KnownValues({GATEWAY_KEY: SECRETS})
        begun = time.process_time()
        report = GatherReport(desk.tasks, lambda _: partial(hide_secrets, known=known))(task)
        gathered = time.process_time() - begun
        source, page = Path(name, "report.json"), Path(name, "report.html")
        source.write_text(report.model_dump_json())
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", RENDER, source, page], check=True)
        after = getrusage(RUSAGE_CHILDREN)
        rendered = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        size = page.stat().st_size
    print(
        f"a report of 500 steps, 40 pauses, 5 iterations, 20 MB of logs: {size / 1e6:.2f} MB; "
        f"gathered in {gathered:.2f} s, rendered in {rendered:.2f} s of processor time"
    )


if __name__ == "__main__":
    main()
