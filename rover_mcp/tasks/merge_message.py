"""The message of a merge's commit: the user's, or what the task's agent wrote for it, or one made
from the task's title. Pure; what an agent wrote is untrusted."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Literal

from rover_mcp.domain.text import plain, unhidden
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.quoted_text import printable

SUBJECT = 72
"""Characters of a commit's first line."""
BODY = 4000
READ = 20_000
"""Characters of an agent's text that are read."""
# Who signed, reviewed or wrote something is for people to say; and Rover's own trailers are its.
_TRAILER = re.compile(
    r"(?:[\w.-]+-by|rover-[\w-]+|change-id|skip-checks|git-[\w-]+|cc|author|committer)\s*[:#=].*",
    re.IGNORECASE,
)
# What makes CI leave a commit out (GitHub, GitLab, Azure, CircleCI, AppVeyor, Bitbucket).
_SKIPS_CI = re.compile(
    r"\[\s*(?:skip|no)[ -](?:ci|actions|azurepipelines|azp|appveyor|netlify|vercel)\s*\]"
    r"|\[\s*(?:ci|actions|azurepipelines|azp|appveyor)[ -]skip\s*\]"
    r"|\*{2,}\s*NO_CI\s*\*{2,}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CommitMessage:
    """`text` is without Rover's trailers. `by` says who wrote it, but for the subject of a merge
    commit, which is as git writes it; `own` is without that."""

    text: str
    by: Literal["user", "agent", "title"]
    own: str


def merge_message(task: TaskRow, given: str | None, merge: tuple[str, str] | None) -> CommitMessage:
    """The message, `given` by the user or else found. `merge`: the branch that is merged and the
    one that it goes into, for a merge commit."""
    if given and given.strip():
        return CommitMessage(given.strip(), "user", given.strip())
    output = task.run_state.commit_message if task.run_state else None
    written = cleaned(output) if output else ""
    own = written or _of_title(task, wrapped_only=merge is not None)
    text = own if merge is None else f"{_merge_subject(*merge)}\n\n{own}"
    return CommitMessage(text, "agent" if written else "title", own)


def cleaned(text: str) -> str:
    """An agent's text as a commit's message: a subject and a body of the usual width, without
    trailers that name people, and without words that keep CI from running. Empty where nothing is
    left of it."""
    shown = _SKIPS_CI.sub("", unhidden(plain(text[:READ])))
    lines = [line.rstrip() for line in shown.replace("\t", "    ").split("\n")]
    kept = [line for line in lines if not _TRAILER.fullmatch(line.strip())]
    while kept and not _words(kept[0]):
        del kept[0]
    if not kept:
        return ""
    subject = textwrap.shorten(_words(kept[0]), SUBJECT, placeholder="...")
    # A subject of one long word is cut, for nothing of it would be left.
    subject = subject if subject != "..." else _words(kept[0])[: SUBJECT - 3] + "..."
    body = "\n".join(map(_filled, kept[1:])).strip("\n")[:BODY].rstrip()
    body = re.sub(r"\n{3,}", "\n\n", body)
    return f"{subject}\n\n{body}" if body else subject


def _words(line: str) -> str:
    """A line without the marks that models put around a subject."""
    return " ".join(line.strip("`# ").split())


def _filled(line: str) -> str:
    if len(line) <= SUBJECT or line.startswith(("    ", ">")):
        return line
    indent = re.match(r"\s*(?:[-*]\s+|\d+[.)]\s+)?", line)
    return textwrap.fill(
        line, SUBJECT, subsequent_indent=" " * len(indent[0] if indent else ""),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _merge_subject(branch: str, into: str) -> str:
    subject = textwrap.shorten(f"Merge branch '{branch}'", SUBJECT, placeholder="...")
    target = "" if into in ("main", "master") else f" into {into}"
    return f"{subject}{target}" if len(subject) + len(target) <= SUBJECT else subject


def _of_title(task: TaskRow, *, wrapped_only: bool) -> str:
    title = printable(task.title, 500)
    full = textwrap.fill(title, SUBJECT)
    if wrapped_only:
        return full
    subject = textwrap.shorten(title, SUBJECT, placeholder="...")
    return subject if subject == title else f"{subject}\n\n{full}"
