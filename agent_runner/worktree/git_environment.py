"""The environment of the scripts of worktree_scripts.py and of the git commands in them."""

from __future__ import annotations

WITHHELD = "ROVER_WITHHELD"
"""The variable with the files that never leave the work tree."""

BASE = "ROVER_BASE"
"""The variable with the task's base commit."""

DELIVERED = "ROVER_DELIVERED"
"""The variable with the last snapshot: files that are in it stay in the next one."""

FILTERS = "ROVER_FILTERS"
"""The variable with filters that the user's git applies and the scripts do not."""

ENCRYPTING = ("git-crypt", "transcrypt", "crypt", "git-secret", "sops", "age", "git-agecrypt")
"""Filters that encrypt, whether the user has set them up or not."""

USER_NAME = "Rover agent"
USER_EMAIL = "agent@rover.invalid"

GIT_ENVIRONMENT = {
    # Named instead of discovered: git then ignores repositories in parent folders, and does not
    # refuse the repository for its owner (safe.directory).
    "GIT_DIR": ".git",
    "GIT_WORK_TREE": ".",
    # A question would wait for a person who is not there.
    "GIT_TERMINAL_PROMPT": "0",
    # `git status` refreshes the index otherwise, and a background process of the agent's may hold
    # its lock.
    "GIT_OPTIONAL_LOCKS": "0",
    # Replacements and grafts change what a commit contains for this repository alone: what was
    # committed here would not be what the host gets.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": "/nonexistent/grafts",
    "GIT_AUTHOR_NAME": USER_NAME,
    "GIT_AUTHOR_EMAIL": USER_EMAIL,
    "GIT_COMMITTER_NAME": USER_NAME,
    "GIT_COMMITTER_EMAIL": USER_EMAIL,
    # Some of git's messages are recognised by their text.
    "LC_ALL": "C",
    # The environment outweighs the configuration files, which the agent can write: its hooks and
    # its file system monitor must not run here.
    "GIT_CONFIG_COUNT": "5",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": "/dev/null",
    "GIT_CONFIG_KEY_1": "core.fsmonitor",
    "GIT_CONFIG_VALUE_1": "false",
    # Names that macOS or Windows take for .git: the host's fetch would refuse the complete bundle.
    "GIT_CONFIG_KEY_2": "core.protectHFS",
    "GIT_CONFIG_VALUE_2": "true",
    "GIT_CONFIG_KEY_3": "core.protectNTFS",
    "GIT_CONFIG_VALUE_3": "true",
    # Otherwise git stops at the first file whose line ends it would have to convert.
    "GIT_CONFIG_KEY_4": "core.safecrlf",
    "GIT_CONFIG_VALUE_4": "false",
}
"""The variables of every git command in the clone."""
