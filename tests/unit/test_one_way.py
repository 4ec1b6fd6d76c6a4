"""What is done in many places is done in one way: a second way to do it fails here."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RENAMES = {
    "agent_runner/atomic_write.py": "the writer of small files",
    "agent_runner/run/shell_session.py": "a socket, which is seen only once it listens",
    "agent_runner/worktree/worktree.py": "a bundle that git wrote",
    "rover_mcp/assistants/config_file.py": "checks just before that no client wrote the file since",
    "rover_mcp/cli/init_command.py": "a user's file, kept under another name",
    "rover_mcp/control/checkpoint.py": "a damaged journal, set aside",
    "rover_mcp/daemon/backup.py": "an archive",
    "rover_mcp/daemon/daemon_log.py": "a log that is rotated",
    "rover_mcp/daemon/repair.py": "a damaged database, set aside",
    "rover_mcp/daemon/restore.py": "data folders, exchanged",
    "rover_mcp/daemon/trash.py": "a folder that is removed",
    "rover_mcp/gateway/unix_socket.py": "a socket, which is seen only once it listens",
    "rover_mcp/git/base_packs.py": "packs, links",
    "rover_mcp/git/clone_refs.py": "a folder of several files",
    "rover_mcp/git/collect.py": "packs",
    "rover_mcp/git/hub_storage.py": "a damaged hub, set aside",
    "rover_mcp/git/incoming.py": "packs",
    "rover_mcp/git/lfs.py": "a large file, checked while it is copied",
    "rover_mcp/git/new_work_tree.py": "folders of a work tree",
    "rover_mcp/git/own_objects.py": "a folder of packs",
    "rover_mcp/git/rebase_branch.py": "a bundle that git writes",
    "rover_mcp/git/restore_bundle.py": "a bundle that git writes",
    "rover_mcp/git/submodule_bases.py": "a folder of several files",
    "rover_mcp/git/switch_branch.py": "git's own lock file becomes HEAD, as git does it",
    "rover_mcp/git/work_tree.py": "git's own lock file becomes the index, as git does it",
    "rover_mcp/launcher/daemon_start.py": "a log that is rotated",
    "rover_mcp/packages/home_files.py": "an archive, once its content is proven",
    "rover_mcp/packages/uv.py": "a folder that is removed",
    "rover_mcp/packages/wheels.py": "a folder of several files",
    "rover_mcp/sandbox/agent_programs.py": "folders of an installation",
    "rover_mcp/sandbox/node_bundle.py": "folders of an installation",
    "rover_mcp/sandbox/python_bundle.py": "folders of an installation",
    "rover_mcp/sandbox/supervise.py": "written into reserved room, for when the disk is full",
}
"""Files that rename something that `replace_file` cannot write, and what it is."""


ALLOWED: dict[str, tuple[str, set[str]]] = {
    "control characters are found by the rule of domain/text": (
        r"\\x7f-\\x9f|\\u202[0-9a-e]-",
        {"rover_mcp/domain/text.py"},
    ),
    "text is made one safe line by domain/text.one_line": (
        r"\.join\((?:\w+\.)?(?:unhidden|plain|visible)\(",
        {"rover_mcp/domain/text.py"},
    ),
    "unprintable characters are replaced by only_printable": (
        r"for (\w+) in \w+ if \1\.isprintable|\1 if \1\.isprintable|c if c\.isprintable",
        {"agent_runner/printable.py"},
    ),
    "a time is written by utc_minute, but for a clock without a date and for the launcher": (
        r"%H:%M\}?Z",
        {
            "rover_mcp/domain/utc_time.py",
            "rover_mcp/launcher/glance.py",
            "rover_mcp/store/account_windows.py",
        },
    ),
    "a length of time is read by one grammar, and by another where providers write it": (
        r"minutes[?\"].*\b60\b",
        {"agent_runner/classify/duration_words.py", "agent_runner/duration_grammar.py"},
    ),
    "a length of time is written by domain/durations": (
        r"\} min\b",
        {"rover_mcp/domain/durations.py"},
    ),
    "whether a budget is used up is decided by the budget": (
        r"budget\.(?:usd|tokens) *<=|>= *(?:\w+\.)*budget\.(?:usd|tokens)",
        set[str](),
    ),
    "a pause is worded by domain/pause_words": (
        r"f\"paused \(",
        {"rover_mcp/domain/pause_words.py"},
    ),
    "a failure is classified where the step ends, and where a stall is noticed": (
        r"\bclassify\((?!self)",
        {
            "agent_runner/classify/__init__.py",
            "agent_runner/classify/verdict.py",
            "agent_runner/run/agent_step.py",
            "agent_runner/run/stall_watch.py",
            "rover_mcp/explain/answers.py",
        },
    ),
    "a JSON object has one type": (
        r"(?m)^Json\b.*=",
        {"agent_runner/json_object.py"},
    ),
    "the state of an attempt is an AttemptState": (
        r"attempt\.state (?:[!=]=|(?:not )?in) [({\[]?[\"']",
        set[str](),
    ),
}
"""What is done in one way, the pattern by which one finds it, and where it may be found."""


@functools.cache
def modules() -> dict[str, str]:
    """The text of every module of the program, by its path."""
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for package in ("agent_runner", "rover_mcp")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


@functools.cache
def calls_of(text: str) -> tuple[ast.Call, ...]:
    """Every call in a module."""
    return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))


def places(is_one: Callable[[ast.Call], bool]) -> set[str]:
    """The modules that have such a call."""
    return {path for path, text in modules().items() if any(map(is_one, calls_of(text)))}


def written(pattern: str) -> set[str]:
    """The modules whose text has a match."""
    return {path for path, text in modules().items() if re.search(pattern, text)}


def is_lock(call: ast.Call) -> bool:
    """Whether a call locks a file."""
    return ast.unparse(call.func).rpartition(".")[2] in ("flock", "lockf")


def is_rename(call: ast.Call) -> bool:
    """Whether a call renames a file. A text's `replace` has two arguments."""
    name = ast.unparse(call.func)
    if name in ("os.replace", "os.rename"):
        return True
    method = name.rpartition(".")[2] in ("replace", "rename")
    return method and len(call.args) == 1 and not call.keywords


def test_every_file_lock_is_taken_by_the_one_module_of_locks() -> None:
    assert places(is_lock) == {"agent_runner/process/locks.py"}


def test_every_small_file_is_replaced_by_the_one_writer() -> None:
    """A new rename is either `replace_file`, or stands in the table with what it renames."""
    assert places(is_rename) == RENAMES.keys()


@pytest.mark.parametrize("what", ALLOWED)
def test_there_is_no_second_way(what: str) -> None:
    pattern, allowed = ALLOWED[what]
    assert written(pattern) <= allowed
