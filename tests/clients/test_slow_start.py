"""Clients that give a server 5 s are answered, although the daemon takes longer to start."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.test_gemini import NOBODY, gemini
from tests.clients.test_opencode import opencode
from tests.support.stub_daemon import ROOT, launcher_of_stub

pytestmark = pytest.mark.real_agent


@pytest.mark.parametrize(
    ("client", "connected"),
    [(gemini, r"✓ rover: (?s:.*) - Connected"), (opencode, "✓ rover connected")],
)
def test_it_connects(tmp_path: Path, client: Callable[..., str], connected: str) -> None:
    """To a launcher whose daemon starts when `stub.go` lies in its data folder, not before."""
    variables = ["/usr/bin/env", "STUB=slow", f"PYTHONPATH={ROOT}"]
    server = [*variables, *launcher_of_stub(tmp_path / "data")]
    listed = client(server, tmp_path, tmp_path, NOBODY, "mcp", "list")
    (tmp_path / "data" / "stub.go").touch()
    assert re.search(connected, listed), listed
