"""The start of a runner, which every attempt pays."""

from __future__ import annotations

import subprocess
import sys

from agent_runner.acp_programs import KNOWN, AcpProgram


def test_a_runner_builds_no_validator_before_it_reads_its_specification() -> None:
    program = "import sys, agent_runner.run.runner_command; print(*sys.modules)"
    argv = [sys.executable, "-P", "-c", program]
    imported = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert "agent_runner.run.attempt" in imported
    # Imported with the first validator. It searches everything that is installed.
    assert "pydantic.plugin._loader" not in imported


def test_what_is_imported_is_not_searched_for_garbage_later() -> None:
    program = (
        "import gc; from agent_runner.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: print('frozen', gc.get_freeze_count(), gc.isenabled())"
    )
    argv = [sys.executable, "-P", "-c", program]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "run one attempt" in shown
    frozen, enabled = shown.split()[-2:]
    assert int(frozen) > 10_000
    assert enabled == "True"


def test_the_agents_that_are_known_are_valid() -> None:
    for program in KNOWN.values():
        assert AcpProgram.model_validate(program.model_dump()) == program
