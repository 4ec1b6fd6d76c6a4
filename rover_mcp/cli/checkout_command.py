"""`rover checkout` and `rover open`: a task's branch in a work tree, for a person to look at."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import Paint, clean, wrap
from rover_mcp.cli.tool_commands import connect, of_task, show

Arguments = argparse.Namespace
FALLBACKS = ("sensible-editor", "code", "vim", "nano", "vi")
OF_FOLDERS = frozenset(
    ("code", "code-insiders", "codium", "cursor", "windsurf", "zed", "subl", "idea", "pycharm",
     "webstorm", "goland", "clion", "rider", "fleet", "emacs", "vim", "nvim", "vi", "hx", "kate")
)  # fmt: skip
"""Editors that open a folder which they are given; others are started in it."""


def checkout(args: Arguments) -> int:
    """Check a task's branch out; without --yes only say what would happen."""
    result = _ask(args, confirm=args.yes)
    show(args, result, lambda result, paint: _lines(args, result, paint, "checkout"))
    return 0


def open_(args: Arguments) -> int:
    """Open a task's branch in the user's editor, in a work tree of its own."""
    editor = editor_of(os.environ)
    if not args.yes:
        result = _ask(args, confirm=False)
        show(args, result, lambda result, paint: _lines(args, result, paint, "open"))
        return 0
    result = _ask(args, confirm=True)
    show(args, result, lambda result, paint: wrap(clean(result["message"]), paint.width, ""))
    sys.stdout.flush()
    return start(editor, Path(result["folder"]))


def editor_of(environ: Mapping[str, str]) -> list[str]:
    """The command of the user's editor: $VISUAL, $EDITOR, or the first that is there.

    Raises:
        ClientError: there is none.
    """
    for name in ("VISUAL", "EDITOR"):
        if words := shlex.split(environ.get(name, "")):
            return words
    for name in FALLBACKS:
        if shutil.which(name):
            return [name]
    raise ClientError(
        "no editor is set",
        code="no_editor",
        hint="set VISUAL or EDITOR, for example export VISUAL='code --wait'",
    )


def start(editor: list[str], folder: Path) -> int:
    """Run the editor on a folder; its exit status.

    Raises:
        ClientError: it cannot be started.
    """
    is_given = Path(editor[0]).name in OF_FOLDERS
    try:
        done = subprocess.run([*editor, *([str(folder)] if is_given else [])], cwd=folder,
                              check=False)  # fmt: skip
    except OSError as error:
        raise ClientError(
            f"the editor {editor[0]} cannot be started: {error.strerror}",
            code="no_editor",
            hint="set VISUAL or EDITOR to one that is installed",
        ) from error
    return done.returncode


def _ask(args: Arguments, *, confirm: bool) -> Json:
    place = of_task(args)
    client = connect(args)
    try:
        return client.request_for_long(
            "rover/checkout",
            {
                "task": place["task"],
                "repoPath": place["repo_path"] and str(Path(place["repo_path"]).absolute()),
                "into": str(Path(args.into).expanduser().absolute()) if args.into else None,
                "here": getattr(args, "here", False),
                "accept": args.accept,
                "confirm": confirm,
            },
        )
    finally:
        client.close()


def _lines(args: Arguments, result: Json, paint: Paint, verb: str) -> list[str]:
    lines = wrap(clean(for_terminal(result["message"])), paint.width, "")
    if args.yes:
        return lines
    if handed := result["hand_off"]:
        names = [f"  {clean(path)}" for path in handed]
        lines += ["", paint("Run by programs on this machine:", "bold"), *names]
    if verb == "checkout" and result["checked_out"]:
        return lines
    words = ["rover", verb, clean(args.task)]
    words += ["--into", shlex.quote(clean(args.into))] if args.into else []
    words += ["--here"] if getattr(args, "here", False) else []
    words += [word for path in handed for word in ("--accept", shlex.quote(clean(path)))]
    goal = "To open it" if verb == "open" else "To check it out"
    return [*lines, "", f"{goal}: {' '.join([*words, '--yes'])}"]
