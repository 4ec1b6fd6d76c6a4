"""`rover explain`: what an error of a provider or an agent means, without a daemon or a task."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.pauses import pause_lines
from rover_mcp.cli.terminal_text import Paint, clean, wrap
from rover_mcp.explain import Explained, Rejected, explain, parse
from rover_mcp.explain.answers import heading, plan_sentences

MAX_INPUT = 50_000_000


def run(args: argparse.Namespace) -> int:
    """Explain each error in the input. Returns 1 where one could not be read.

    Raises:
        ClientError: there is no input.
    """
    parsed = parse(_read(args.file))
    if not parsed:
        raise ClientError(
            "the input is empty",
            code="no_input",
            hint="give the error's text, or one JSON object per line with at least `text`, as a "
            "file or on standard input",
        )
    results = [explain(one) for one in parsed]
    for number, result in enumerate(results):
        if args.json:
            print(json.dumps(result.as_json(), ensure_ascii=True))
        else:
            print("\n".join([*([""] if number else []), *_lines(result, Paint(sys.stdout))]))
    return 1 if any(isinstance(r, Rejected) for r in results) else 0


def _read(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_INPUT + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_INPUT + 1)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}", code="unreadable") from error
    if len(data) > MAX_INPUT:
        raise ClientError(f"the input is larger than {MAX_INPUT} bytes", code="too_large")
    return data.decode("utf-8-sig", "replace")


def _lines(result: Explained | Rejected, paint: Paint) -> list[str]:
    if isinstance(result, Rejected):
        return [f"{paint('line ' + str(result.line), 'red', 'bold')}: {clean(result.error)}"]
    reason = paint(result.reason, "bold", "red" if result.reason == "failure" else "yellow")
    rule = result.verdict.rule if result.verdict else None
    lines = [clean(heading(result)), f"Reason: {reason}", f"Rule: {rule or 'none'}"]
    if result.account:
        lines.append(f"Account: {result.account}")
    lines += [
        line.strip()
        for line in wrap(for_terminal(f"Plan: {' '.join(plan_sentences(result))}"), None)
    ]
    if result.ignored:
        lines.append(f"Ignored: {clean(', '.join(result.ignored))}: unknown fields")
    if pause := result.shown_pause():
        paint.now = lambda: result.case.now
        task = {"id": "TASK", "number": "TASK", "repo_path": "", "pause": pause}
        lines += ["What you will see:", *(f"  {line}" for line in pause_lines(task, paint))]
    elif result.verdict:
        lines += ["What you will see:", f"  FAILED: {clean(for_terminal(result.verdict.message))}"]
    return lines
