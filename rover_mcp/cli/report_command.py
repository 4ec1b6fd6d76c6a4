"""`rover report`: a page about a task, in one file."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.copyable_command import commands_of
from rover_mcp.cli.fetched_pieces import fetch_pieces


def report(args: argparse.Namespace) -> int:
    """Write the page and print where it is, or print the report as JSON.

    Raises:
        ClientError: the report is not available, or a file cannot be written.
    """
    with tempfile.TemporaryFile() as file:
        fetch_pieces(args, "rover/report", "report", file)
        file.seek(0)
        data = file.read()
    if args.trace:
        _write(Path(args.trace), json.dumps(_trace(data)))
    if args.json:
        print(json.dumps(json.loads(data), indent=2))
        return 0
    html = page_of(data)
    if args.out == "-":
        sys.stdout.write(html)
        return 0
    path = Path(args.out) if args.out else _temporary(json.loads(data)["task"]["number"])
    _write(path, html)
    print(path)
    if args.open and not _open(path):
        print(f"no browser could be started here; open {path} in one", file=sys.stderr)
    return 0


def page_of(data: bytes) -> str:
    """The page of a report that the daemon has sent."""
    # Late: templates and highlighters, which no other command needs.
    from rover_mcp.report.report_models import TaskReport
    from rover_mcp.report.report_page import NextCommand, report_html

    task: Json = json.loads(data)["task"]
    commands = [NextCommand(command, why) for command, why in commands_of(task)]
    return report_html(TaskReport.model_validate_json(data), commands)


def _trace(data: bytes) -> Json:
    from rover_mcp.report.chrome_trace import chrome_trace
    from rover_mcp.report.report_models import TaskReport

    return chrome_trace(TaskReport.model_validate_json(data))


def _temporary(number: int) -> Path:
    # A folder that only this user can read: a report shows code and logs.
    return Path(tempfile.mkdtemp(prefix="rover-report-")) / f"task-{number}.html"


def _write(path: Path, text: str) -> None:
    def private(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    try:
        with open(path, "w", encoding="utf-8", errors="replace", opener=private) as file:
            file.write(text)
    except OSError as error:
        raise ClientError(
            f"{path} cannot be written: {error.strerror}",
            code="not_written",
            hint="name another file with --out",
        ) from error


def _open(path: Path) -> bool:
    import webbrowser

    return webbrowser.open(path.absolute().as_uri())
