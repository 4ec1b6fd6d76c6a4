"""Issues and pull requests of GitHub and GitHub Enterprise, by its REST API.

https://docs.github.com/en/rest/issues and .../rest/pulls, version 2022-11-28.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from rover_mcp.context.fetch import Fetcher
from rover_mcp.context.forge_api import MAX_PAGES, PER_PAGE, ForgeApi
from rover_mcp.context.pieces import Comment, Discussion, Piece, Trust, discussion_piece, text_piece
from rover_mcp.context.written_references import Forge, ForgeReference

_ROLES: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""Values of author_association that mean a right to write. CONTRIBUTOR only means that a commit was
once merged."""


class _GithubUser(BaseModel):
    login: str


class _Label(BaseModel):
    name: str | None = None


class _Issue(BaseModel):
    title: str
    body: str | None = None
    user: _GithubUser | None = None
    author_association: str = "NONE"
    state: str
    labels: list[_Label | str] = Field(default_factory=list[_Label | str])
    pull_request: dict[str, object] | None = None


class _GithubNote(BaseModel):
    """A comment, a review (`state`), or a comment on a line (`path`)."""

    body: str | None = None
    user: _GithubUser | None = None
    author_association: str = "NONE"
    created_at: str = ""
    submitted_at: str | None = None
    state: str = ""
    path: str | None = None
    line: int | None = None
    original_line: int | None = None


class _Side(BaseModel):
    ref: str
    sha: str


class _Pull(BaseModel):
    head: _Side
    base: _Side
    merged: bool = False
    draft: bool = False


def github_api(fetcher: Fetcher, reference: ForgeReference, token: str | None) -> ForgeApi:
    """The API that belongs to the reference's host."""
    at = reference.authority
    base = "https://api.github.com" if at == Forge.GITHUB.home else f"https://{at}/api/v3"
    headers = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return ForgeApi(fetcher, reference, base, headers)


async def read_github(api: ForgeApi, trust: Trust) -> list[Piece]:
    """The discussion, and a pull request's diff.

    Raises:
        FetchFailed: one of them cannot be obtained.
    """
    reference = api.reference
    at = f"/repos/{reference.repository}"
    issue = await api.one(f"{at}/issues/{reference.number}", _Issue)
    comments, more = await api.every(f"{at}/issues/{reference.number}/comments", _GithubNote)
    # GitHub numbers both alike, and redirects a reader from /issues/N to /pull/N.
    pull = None
    if issue.pull_request is not None:
        pull = await api.one(f"{at}/pulls/{reference.number}", _Pull)
        reviews, more_reviews = await api.every(
            f"{at}/pulls/{reference.number}/reviews", _GithubNote
        )
        lines, more_lines = await api.every(f"{at}/pulls/{reference.number}/comments", _GithubNote)
        comments += [*(r for r in reviews if r.body or r.state != "COMMENTED"), *lines]
        more = more or more_reviews or more_lines
    discussion = _discussion(reference, issue, pull, comments, more=more)
    pieces = [discussion_piece(discussion, trust)]
    if pull is not None:
        diff = await api.text(f"{at}/pulls/{reference.number}", "application/vnd.github.diff")
        pieces.append(
            text_piece(f"{reference.address}.diff", f"Diff of {issue.title}", diff, suffix=".diff")
        )
    return pieces


def _discussion(
    reference: ForgeReference,
    issue: _Issue,
    pull: _Pull | None,
    notes: list[_GithubNote],
    *,
    more: bool,
) -> Discussion:
    facts: list[str] = []
    state = issue.state
    if pull is not None:
        state = "merged" if pull.merged else f"{state}, a draft" if pull.draft else state
        facts.append(f"from {pull.head.ref} ({pull.head.sha}) into {pull.base.ref}")
    if more:
        facts.append(f"only the first {MAX_PAGES * PER_PAGE} comments were read")
    return Discussion(
        origin=reference.address,
        kind="pull request" if pull else "issue",
        title=issue.title,
        author=_login(issue.user),
        role=_role(issue.author_association),
        state=state,
        text=issue.body or "",
        labels=[name for label in issue.labels if (name := _label(label))],
        facts=facts,
        comments=sorted(map(_comment, notes), key=lambda comment: comment.time),
    )


def _comment(note: _GithubNote) -> Comment:
    line = note.line or note.original_line
    return Comment(
        author=_login(note.user),
        role=_role(note.author_association),
        time=note.submitted_at or note.created_at,
        text=note.body or "",
        has_role=note.author_association in _ROLES,
        place=f"{note.path}:{line}" if note.path and line else note.path or "",
        verdict=note.state.lower().replace("_", " "),
    )


def _label(label: _Label | str) -> str | None:
    return label if isinstance(label, str) else label.name


def _login(user: _GithubUser | None) -> str:
    # The account of a comment that stayed after it was deleted.
    return user.login if user else "ghost"


def _role(association: str) -> str:
    return "" if association == "NONE" else association.lower().replace("_", " ")
