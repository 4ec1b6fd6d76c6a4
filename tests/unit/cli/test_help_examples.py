"""The examples in `--help` (C.10)."""

from __future__ import annotations

import re
import shlex

import pytest

from rover_mcp.cli.command_line import main
from rover_mcp.cli.help_examples import EXAMPLES
from rover_mcp.cli.parser import build_parser


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_every_example_is_a_call_that_the_parser_takes(line: str) -> None:
    found = re.search(r"\brover ([^|)]*)", line)
    assert found is not None
    assert build_parser().parse_args(shlex.split(found[1])).run


def test_help_shows_them_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prune", "--help"])
    assert "Examples:\n  rover prune\n  rover prune --status" in capsys.readouterr().out
