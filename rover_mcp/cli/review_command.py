"""`rover review`: the diff of a task in the user's editor, where comments are written between its
lines. They become the instructions of the next iteration."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.diff_patch import fetch_patch
from rover_mcp.cli.review_file import (
    DamagedReview,
    DiffLine,
    Review,
    diff_lines_of,
    parse_review,
    review_text,
)
from rover_mcp.cli.terminal_text import clean
from rover_mcp.cli.tool_commands import call, follow, home_of, of_task, show
from rover_mcp.config.safe_read import FileRefused, read_regular

FALLBACKS = ("sensible-editor", "nano", "vim", "vi")
WAITING = frozenset(
    ("code", "code-insiders", "codium", "cursor", "windsurf", "zed", "subl", "gedit")
)
"""Editors with windows that return at once unless they are asked to wait."""
MAX_PATCH = 10_000_000
MAX_FILE = 2 * MAX_PATCH
FOLDER = "reviews"
OWN_SCOPES = ("system", "global")
GIT_SECONDS = 10.0


def review(args: argparse.Namespace) -> int:
    """Open the diff in an editor and send what was written there; 1 where nothing was written.

    Raises:
        ClientError: there is no diff, or what came out of the editor cannot be used. The message
            names the file that still has the text.
    """
    task = call(args, "inspect", **of_task(args))["task"]
    if not args.print and not args.file:
        _check_can_iterate(task)
    diff = _diff(args)
    name = f"Review of task {task['number']}: {clean(task['title'])}"
    offered = review_text(name, diff)
    if args.print:
        sys.stdout.write(offered)
        return 0
    if args.file:
        written, path = _read(args.file), None
    else:
        path = _new_file(Path(home_of(args), FOLDER), task["id"], offered)
        written = _edited(path, offered)
    parsed = _parsed(args, diff, written, path)
    if not parsed.comments and not parsed.instructions:
        if path:
            path.unlink()
        print("Nothing was written, so nothing was sent.", file=sys.stderr)
        return 1
    return _send(args, parsed, path)


def editor_command(environ: Mapping[str, str], own: str = "") -> list[str]:
    """The editor: $VISUAL, $EDITOR, `own`, or the first that is installed. One with windows
    is asked to wait until the file is closed.

    Raises:
        ClientError: there is none.
    """
    for text in (environ.get("VISUAL"), environ.get("EDITOR"), own):
        if words := shlex.split(text or ""):
            waits = {"-w", "--wait"} & set(words)
            return words if waits or Path(words[0]).name not in WAITING else [*words, "--wait"]
    for program in FALLBACKS:
        if shutil.which(program):
            return [program]
    raise ClientError(
        "no editor is set",
        code="no_editor",
        hint="set EDITOR, for example export EDITOR=nano; or write the review elsewhere: "
        "rover review TASK --print > review.txt, then rover review TASK --file review.txt",
    )


def own_editor() -> str:
    """core.editor of the user's own git configuration. That of a repository is not read, for its
    author would choose a program of this machine."""
    try:
        done = subprocess.run(
            ["git", "config", "--show-scope", "--includes", "--get-all", "core.editor"],
            cwd="/", env={**os.environ, "GIT_DIR": "/nonexistent"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=GIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (line.partition("\t") for line in done.stdout.splitlines())
    return next(reversed([text for scope, _, text in lines if scope in OWN_SCOPES]), "")


def _diff(args: argparse.Namespace) -> list[DiffLine]:
    with tempfile.TemporaryFile() as file:
        fetch_patch(args, file)
        if file.tell() > MAX_PATCH:
            raise ClientError(
                f"the diff has {file.tell():,} bytes, too many for an editor",
                code="too_large",
                hint="review a part of it: rover review TASK PATH...",
            )
        file.seek(0)
        diff = diff_lines_of(file.read().decode("utf-8", "backslashreplace"))
    if not diff:
        raise ClientError("the task has changed nothing, so there is no diff", code="no_diff")
    return diff


# Said before the editor opens: nobody wants to hear it after the writing.
def _check_can_iterate(task: Json) -> None:
    from rover_mcp.domain.task_status import Event, sources

    if task["status"] not in sources(Event.ITERATE):
        raise ClientError(
            f"task {task['number']} is {task['status']}; it can be reviewed once it has ended",
            code="not_iterable",
            hint="rover diff shows its work so far",
        )


def _new_file(folder: Path, task_id: str, text: str) -> Path:
    """A file in the data folder: one in /tmp would be lost with the next start of the machine."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".txt", f"{task_id[:8]}-", folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def _edited(path: Path, offered: str) -> str:
    """The file's text after the editor has ended.

    Raises:
        ClientError: the editor cannot be started, or failed.
    """
    editor = editor_command(os.environ, own_editor())
    # Ctrl-C in the editor is the editor's. A handler, unlike SIG_IGN, is not inherited by it.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        status = subprocess.run([*editor, str(path)], check=False).returncode
    except OSError as error:
        path.unlink()
        raise ClientError(
            f"the editor {editor[0]} cannot be started: {error.strerror}",
            code="no_editor",
            hint="set EDITOR to one that is installed",
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
    written = _read(str(path))
    if status != 0:
        if written == offered:
            path.unlink()
        kept = "" if written == offered else f"; your text is in {path}"
        raise ClientError(
            f"the editor ended with status {status}, so nothing was sent{kept}", code="editor"
        )
    return written


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return read_regular(Path(name), MAX_FILE).decode("utf-8-sig")
    except (FileRefused, UnicodeDecodeError) as error:
        raise ClientError(f"the review {name}: {error}", code="invalid_arguments") from error


def _parsed(args: argparse.Namespace, diff: list[DiffLine], text: str, path: Path | None) -> Review:
    try:
        return parse_review(diff, text)
    except DamagedReview as error:
        raise ClientError(
            f"the review cannot be read: {error}{_kept(path)}",
            code="damaged_review",
            hint=f"repair it, then: {_again(args, path)}",
        ) from error


def _send(args: argparse.Namespace, parsed: Review, path: Path | None) -> int:
    """Send the review; `path` is removed once it has arrived."""
    comments = [vars(comment) for comment in parsed.comments]
    try:
        result = call(
            args,
            "iterate_task",
            **of_task(args),
            instructions=parsed.instructions or None,
            comments=comments or None,
        )
    except ClientError as error:
        if path:
            error.message += _kept(path)
            error.hint = f"{error.hint or 'once that is settled'}; then: {_again(args, path)}"
        raise
    if path:
        path.unlink(missing_ok=True)
    if not args.watch:
        show(args, result, render.task)
        return 0
    args.task, args.repo = result["task"]["id"], None
    return follow(args, result["task"])


def _kept(path: Path | None) -> str:
    return f"; your text is in {path}" if path else ""


def _again(args: argparse.Namespace, path: Path | None) -> str:
    place = shlex.quote(str(path or args.file))
    paths = "".join(f" {shlex.quote(one)}" for one in args.paths)
    return f"rover review {clean(args.task)}{paths} --file {place}"
