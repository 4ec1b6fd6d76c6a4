"""Rewrites the daemon's messages to assistants in the words of the command line.

The messages name the calls and the arguments that a model would use next. A person at a terminal
has commands and options instead.
"""

from __future__ import annotations

import re

from rover_mcp.cli.terminal_text import local_times

COMMANDS = {
    "resume_task": "rover resume", "set_auto_resume": "rover auto-resume",
    "wait_for_task": "rover watch", "inspect": "rover inspect", "get_diff": "rover diff",
    "get_logs": "rover logs", "pause_task": "rover pause", "restart_task": "rover restart",
    "cancel_task": "rover cancel", "delete_task": "rover delete", "list_tasks": "rover list",
    "merge_task": "rover merge", "rebase_task": "rover rebase", "push_task": "rover push",
    "list_workflows": "rover workflows", "get_status": "rover status",
    "create_task": "rover create", "iterate_task": "rover iterate", "get_history": "rover history",
    "fork_task": "rover fork",
}  # fmt: skip
OPTIONS = {
    "repo_path": "--repo", "base_branch": "--base-branch", "budget_usd": "--budget-usd",
    "budget_tokens": "--budget-tokens", "stat_only": "--stat", "request_key": "--request-key",
    "project_config": "--project-config", "all_projects": "--all", "next_cursor": "--cursor",
    "auto_resume": "--no-auto-resume", "timeout_s": "a time",
}  # fmt: skip
_PHRASES = (
    (re.compile(r"\bdetail[:=] ?full\b"), "--full"),
    (re.compile(r"\bconfirm[:=] ?true\b"), "--yes"),
    (re.compile(r"\baccept[:=] ?true\b"), "--accept"),
    (re.compile(r"\brebase_task with resolve\b"), "rover rebase --resolve"),
    (re.compile(r"\bthe user agrees\b"), "you agree"),
    (re.compile(r"\bname them in accept\b"), "name each with --accept"),
    (re.compile(r"\bname it in accept\b"), "name it with --accept"),
    (
        re.compile(r"\bname (git-lfs|that folder|the submodule) in accept\b"),
        r"name \1 with --accept",
    ),
    (re.compile(r"\bname it as branch\b"), "name it with --branch"),
    (re.compile(r"\bname another branch as branch\b"), "name another branch with --branch"),
    (
        re.compile(r"\bname another branch as base_branch\b"),
        "name another branch with --base-branch",
    ),
    (re.compile(r"\bname another remote\b"), "name another with --remote"),
    (re.compile(r"\bname one of them as remote\b"), "name one of them with --remote"),
    (re.compile(r"\bname its remote as remote\b"), "name its remote with --remote"),
    (re.compile(r"\bmode merge or squash\b"), "a merge without --ff, or with --squash,"),
    (re.compile(r"\bname a branch as into\b"), "name a branch with --into"),
    (re.compile(r"\bname a branch as onto\b"), "name a branch with --onto"),
    (re.compile(r"\bwhen[:=] ?at_reset\b"), "--at-reset"),
    # An option of the tool, with the command of the same meaning behind it.
    (re.compile(r"\b(?:project_config: ignore|devcontainer: off) \((rover [^)]{1,60})\)"), r"\1"),
    (
        re.compile(r"\bthe user reads it and trusts it at a terminal: "),
        "read it, and trust it with ",
    ),
    # A list that is an option: given again for each of its values.
    (re.compile(r"^(status|task|tasks)\.\d+: Input should"), r"--\1: it should"),
    (re.compile(r"\bInput should\b"), "it should"),
    (re.compile(r"\bValue error, "), ""),
    (re.compile(r"\b(?:String|List|Dictionary) should\b"), "it should"),
    (re.compile(r"\bthe tools? "), "the command "),
    (re.compile(r"\bnext_actions\b"), "what can be done next"),
    (re.compile(r"\bnext_call\b"), "the next command"),
)
_CALLS = re.compile(
    r"(?<![\w./-])(?P<word>" + "|".join([*(c for c in COMMANDS if "_" in c), *OPTIONS]) + r")\b"
)
_REFUSED = re.compile(rf"^(?:{'|'.join(COMMANDS)}): (?=\S)")
_TAKES = re.compile(r"^it takes(?:: | nothing).*$", re.DOTALL)


def for_terminal(text: str) -> str:
    """A message for a person at a terminal."""
    text = local_times(_REFUSED.sub("", text))
    for pattern, words in _PHRASES:
        text = pattern.sub(words, text)
    return _CALLS.sub(lambda match: {**COMMANDS, **OPTIONS}[match["word"]], text)


def hint_for_terminal(hint: str) -> str:
    """The same for a hint. The arguments of a command are in its --help."""
    return for_terminal(_TAKES.sub("its --help says what it takes", hint))
