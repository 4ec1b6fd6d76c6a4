"""The environment of the scripts of worktree_scripts.py, and of every git that they run."""

from __future__ import annotations

WITHHELD = "ROVER_WITHHELD"
"""The variable that names to the scripts what never leaves the work tree."""

BASE = "ROVER_BASE"
"""The variable that holds the task's base commit."""

DELIVERED = "ROVER_DELIVERED"
"""The variable that holds the last snapshot, in which what it has of the work tree stays."""

FILTERS = "ROVER_FILTERS"
"""The variable that names filters which the user's git applies and the scripts do not."""

ENCRYPTING = ("git-crypt", "transcrypt", "crypt", "git-secret", "sops", "age", "git-agecrypt")
"""Filters that encrypt, whether the user has set them up or not."""

USER_NAME = "Rover agent"
USER_EMAIL = "agent@rover.invalid"

GIT_ENVIRONMENT = {
    # Named, not discovered: a repository above or an owner that git distrusts cannot matter.
    "GIT_DIR": ".git",
    "GIT_WORK_TREE": ".",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": "/nonexistent/grafts",
    "GIT_AUTHOR_NAME": USER_NAME,
    "GIT_AUTHOR_EMAIL": USER_EMAIL,
    "GIT_COMMITTER_NAME": USER_NAME,
    "GIT_COMMITTER_EMAIL": USER_EMAIL,
    "LC_ALL": "C",
    # What the agent left in its clone's configuration shall not get in the way of its snapshots.
    "GIT_CONFIG_COUNT": "5",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": "/dev/null",
    "GIT_CONFIG_KEY_1": "core.fsmonitor",
    "GIT_CONFIG_VALUE_1": "false",
    # Names that other systems take for .git: the host would refuse the whole bundle.
    "GIT_CONFIG_KEY_2": "core.protectHFS",
    "GIT_CONFIG_VALUE_2": "true",
    "GIT_CONFIG_KEY_3": "core.protectNTFS",
    "GIT_CONFIG_VALUE_3": "true",
    # It would end git at the first file whose line ends it would convert.
    "GIT_CONFIG_KEY_4": "core.safecrlf",
    "GIT_CONFIG_VALUE_4": "false",
}
"""Of every git that is run in the clone."""
