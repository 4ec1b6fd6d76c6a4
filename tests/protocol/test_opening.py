"""The launcher's own first answers are the daemon's."""

from __future__ import annotations

import json
from pathlib import Path

from rover_mcp.launcher.cold_start import RECORDED
from tests.protocol.opening import told


def test_what_is_recorded_is_what_the_daemon_says(shared: Path) -> None:
    said = told(shared / "data")
    assert said == json.loads(Path(RECORDED).read_text("utf-8")), (
        "python -m tests.snapshots.update regenerates it"
    )
