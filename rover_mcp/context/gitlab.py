"""Issues and merge requests of GitLab, on gitlab.com and elsewhere, by its REST API, version 4.

https://docs.gitlab.com/api/issues, /api/merge_requests, /api/discussions, /api/members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, Field

from rover_mcp.context.fetch import Fetcher, FetchFailed
from rover_mcp.context.forge_api import MAX_PAGES, PER_PAGE, ForgeApi
from rover_mcp.context.pieces import Comment, Discussion, Piece, Trust, discussion_piece, text_piece
from rover_mcp.context.written_references import ForgeReference

_DEVELOPER: Final = 30
"""The lowest access level that may write to the repository."""
_LEVELS: Final[Mapping[int, str]] = {
    10: "guest", 15: "planner", 20: "reporter", 30: "developer", 40: "maintainer", 50: "owner",
}  # fmt: skip


class _GitlabUser(BaseModel):
    id: int
    username: str


class _Member(BaseModel):
    id: int
    access_level: int


class _Item(BaseModel):
    """An issue or a merge request, which share these fields."""

    title: str
    description: str | None = None
    author: _GitlabUser
    state: str
    labels: list[str] = Field(default_factory=list)
    draft: bool = False
    source_branch: str | None = None
    target_branch: str | None = None
    sha: str | None = None


class _Position(BaseModel):
    new_path: str | None = None
    new_line: int | None = None
    old_path: str | None = None
    old_line: int | None = None


class _GitlabNote(BaseModel):
    body: str
    author: _GitlabUser
    created_at: str
    system: bool = False
    resolved: bool | None = None
    position: _Position | None = None


class _Discussion(BaseModel):
    notes: list[_GitlabNote]


class _Approver(BaseModel):
    user: _GitlabUser


class _Approvals(BaseModel):
    approved_by: list[_Approver] = Field(default_factory=list[_Approver])


class _Diff(BaseModel):
    old_path: str
    new_path: str
    diff: str
    new_file: bool = False
    deleted_file: bool = False


def gitlab_api(fetcher: Fetcher, reference: ForgeReference, token: str | None) -> ForgeApi:
    """The API of the reference's host."""
    headers = {"accept": "application/json"}
    if token:
        # A Bearer header takes personal, project and OAuth tokens; PRIVATE-TOKEN not the last.
        headers["authorization"] = f"Bearer {token}"
    return ForgeApi(fetcher, reference, f"https://{reference.authority}/api/v4", headers)


async def read_gitlab(api: ForgeApi, trust: Trust) -> list[Piece]:
    """The discussion, and a merge request's diff.

    Raises:
        FetchFailed: one of them cannot be obtained.
    """
    reference = api.reference
    project = f"/projects/{quote(reference.repository, safe='')}"
    kind = "merge_requests" if reference.is_request else "issues"
    at = f"{project}/{kind}/{reference.number}"
    item = await api.one(at, _Item)
    threads, more = await api.every(f"{at}/discussions", _Discussion)
    # GitLab's notes do not say what their authors are to the project, as GitHub's do.
    levels = await _access_levels(api, project)
    facts = await _request_facts(api, at, item) if reference.is_request else []
    if more:
        facts.append(f"only the first {MAX_PAGES * PER_PAGE} threads were read")
    if levels is None:
        facts.append(
            "the members of the project could not be read, so the authors' roles are unknown"
        )
    notes = [note for thread in threads for note in thread.notes if not note.system]
    known = levels or {}
    discussion = Discussion(
        origin=reference.address,
        kind="merge request" if reference.is_request else "issue",
        title=item.title,
        author=item.author.username,
        role=_role(known, item.author),
        state=f"{item.state}, a draft" if item.draft else item.state,
        text=item.description or "",
        labels=item.labels,
        facts=facts,
        comments=[_comment(note, known) for note in notes],
    )
    pieces = [discussion_piece(discussion, trust)]
    if reference.is_request:
        pieces.append(await _diff_piece(api, at, item.title))
    return pieces


async def _request_facts(api: ForgeApi, at: str, item: _Item) -> list[str]:
    """What a merge request has and an issue does not: its branches and its approvals."""
    approvals = await api.one(f"{at}/approvals", _Approvals)
    names = ", ".join(approver.user.username for approver in approvals.approved_by)
    return [
        f"from {item.source_branch} ({item.sha}) into {item.target_branch}",
        f"approved by {names}" if names else "not approved yet",
    ]


async def _diff_piece(api: ForgeApi, at: str, title: str) -> Piece:
    diffs, _ = await api.every(f"{at}/diffs", _Diff)
    text = "".join(map(_unified, diffs))
    return text_piece(f"{api.reference.address}.diff", f"Diff of {title}", text, suffix=".diff")


async def _access_levels(api: ForgeApi, project: str) -> dict[int, int] | None:
    """The access level of each member by user id. None: they may not be read, as is usual without
    a token."""
    try:
        members, _ = await api.every(f"{project}/members/all", _Member)
    except FetchFailed:
        # Without the members no author has a role, so that only comments of named authors are
        # read: the safe side.
        return None
    return {member.id: member.access_level for member in members}


def _comment(note: _GitlabNote, levels: Mapping[int, int]) -> Comment:
    position = note.position or _Position()
    path = position.new_path or position.old_path or ""
    line = position.new_line or position.old_line
    return Comment(
        author=note.author.username,
        role=_role(levels, note.author),
        time=note.created_at,
        text=note.body,
        has_role=levels.get(note.author.id, 0) >= _DEVELOPER,
        place=f"{path}:{line}" if path and line else path,
        verdict="" if note.resolved is None else "resolved" if note.resolved else "unresolved",
    )


def _role(levels: Mapping[int, int], user: _GitlabUser) -> str:
    level = levels.get(user.id)
    return "" if level is None else _LEVELS.get(level, f"access level {level}")


def _unified(diff: _Diff) -> str:
    """One file's part of a diff, with the header that GitLab leaves out."""
    old = "/dev/null" if diff.new_file else f"a/{diff.old_path}"
    new = "/dev/null" if diff.deleted_file else f"b/{diff.new_path}"
    body = diff.diff if diff.diff.endswith("\n") or not diff.diff else f"{diff.diff}\n"
    return f"diff --git a/{diff.old_path} b/{diff.new_path}\n--- {old}\n+++ {new}\n{body}"
