"""The user's own editor, for texts that a person writes: reviews and messages of commits."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rover_mcp.cli.client import ClientError
from rover_mcp.config.safe_read import FileRefused, read_regular

FALLBACKS = ("sensible-editor", "nano", "vim", "vi")
WAITING = frozenset(
    ("code", "code-insiders", "codium", "cursor", "windsurf", "zed", "subl", "gedit")
)
"""Editors with windows that return at once unless they are asked to wait."""
MAX_FILE = 20_000_000
OWN_SCOPES = ("system", "global")
GIT_SECONDS = 10.0


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


def new_text_file(folder: Path, task_id: str, text: str) -> Path:
    """A file in the data folder: one in /tmp would be lost with the next start of the machine."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".txt", f"{task_id[:8]}-", folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def edited(path: Path, offered: str) -> str:
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
    written = read_text(str(path))
    if status != 0:
        if written == offered:
            path.unlink()
        kept = "" if written == offered else f"; your text is in {path}"
        raise ClientError(
            f"the editor ended with status {status}, so nothing was sent{kept}", code="editor"
        )
    return written


def read_text(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return read_regular(Path(name), MAX_FILE).decode("utf-8-sig")
    except (FileRefused, UnicodeDecodeError) as error:
        raise ClientError(f"{name}: {error}", code="invalid_arguments") from error
