"""What the command line runs beside the daemon is there: a name in a text follows no rename."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

CLI = Path(__file__).parents[3] / "rover_mcp" / "cli"


def offline_programs() -> set[str]:
    """The first argument of each call of run_offline."""
    names: set[str] = set()
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_offline":
                assert isinstance(node.args[0], ast.Constant)
                names.add(str(node.args[0].value))
    return names


def test_every_offline_program_is_a_module_that_can_be_run() -> None:
    assert len(offline_programs()) >= 5
    for name in offline_programs():
        module = find_spec(f"rover_mcp.daemon.{name}")
        assert module is not None, name
        assert module.origin is not None
        assert '__name__ == "__main__"' in Path(module.origin).read_text(), name
