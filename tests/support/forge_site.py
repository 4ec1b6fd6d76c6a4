"""What a GitHub Enterprise and a GitLab of an organisation answer, for far_web.py. GitHub's answers
are those that GitHub itself recorded, with the texts of a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.support.far_web import as_json, page
from tests.support.github_description import GithubDescription

ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}"
COMMENTS = f"{ISSUE}/comments"
PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
REVIEWS, LINES = f"{PULL}/reviews", f"{PULL}/comments"
MEMBER, STRANGER = "MEMBER", "NONE"
Json = dict[str, Any]


@dataclass(frozen=True)
class ForgeComment:
    """A comment, with its author's role; on a line where it has a path."""

    text: str
    role: str = MEMBER
    path: str = ""


@dataclass(frozen=True)
class ForgeIssue:
    """An issue, or a request where there is a diff."""

    number: int
    title: str
    text: str
    comments: Sequence[ForgeComment] = field(default_factory=tuple[ForgeComment, ...])
    reviews: Sequence[ForgeComment] = field(default_factory=tuple[ForgeComment, ...])
    diff: str = ""


def github(description: GithubDescription, host: str, repository: str, topic: ForgeIssue) -> Json:
    """The pages of an issue or a pull request."""
    root = f"{host}/api/v3/repos/{repository}"
    issue = description.example(ISSUE)
    issue |= {"number": topic.number, "title": topic.title, "body": topic.text,
              "author_association": MEMBER}  # fmt: skip
    if not topic.diff:
        issue.pop("pull_request", None)
    at = f"{root}/issues/{topic.number}"
    answers = {at: issue, f"{at}/comments": _each(description.example(COMMENTS), topic.comments)}
    if topic.diff:
        pull = description.example(PULL) | {"number": topic.number, "title": topic.title}
        # Its recorded team lacks what its own description requires.
        pull |= {"body": topic.text, "merged": False, "state": "open", "requested_teams": []}
        at = f"{root}/pulls/{topic.number}"
        lines = [one for one in topic.comments if one.path]
        answers |= {
            at: pull,
            f"{at}/reviews": _each(description.example(REVIEWS), topic.reviews),
            f"{at}/comments": _each(description.example(LINES), lines),
        }
        answers[f"{root}/issues/{topic.number}/comments"] = _each(
            description.example(COMMENTS), [one for one in topic.comments if not one.path]
        )
    pages = {name: as_json(answer) for name, answer in answers.items()}
    if topic.diff:
        pages[f"{root}/pulls/{topic.number}.diff"] = page(topic.diff, "text/plain")
    return pages


def _each(recorded: Sequence[Json], texts: Sequence[ForgeComment]) -> list[Json]:
    """The recorded comment, once for each text."""
    return [
        recorded[0]
        | {"id": number, "body": one.text, "author_association": one.role}
        | ({"path": one.path, "line": 1} if one.path else {})
        for number, one in enumerate(texts, 1)
    ]


def gitlab(host: str, repository: str, topic: ForgeIssue) -> Json:
    """The pages of an issue or a merge request, by https://docs.gitlab.com/api/: each field is one
    that GitLab's own description of its API has there."""
    root = f"{host}/api/v4/projects/{quote(repository, safe='')}"
    kind = "merge_requests" if topic.diff else "issues"
    at = f"{root}/{kind}/{topic.number}"
    web = f"https://{host}/{repository}/-/{kind}/{topic.number}"
    item: Json = {
        "id": 100 + topic.number, "iid": topic.number, "project_id": 5, "title": topic.title,
        "description": topic.text, "state": "opened", "created_at": "2026-11-01T10:00:00.000Z",
        "updated_at": "2026-11-02T10:00:00.000Z", "author": _PERSON, "labels": ["bug"],
        "assignees": [], "user_notes_count": len(topic.comments), "web_url": web,
        "assignee": None, "milestone": None,
        "upvotes": 0, "downvotes": 0, "closed_at": None, "closed_by": None,
        "references": {"short": f"#{topic.number}", "relative": f"#{topic.number}",
                       "full": f"{repository}#{topic.number}"},
        "time_stats": {"time_estimate": 0, "total_time_spent": 0,
                       "human_time_estimate": None, "human_total_time_spent": None},
        "task_completion_status": {"count": 0, "completed_count": 0},
    }  # fmt: skip
    if topic.diff:
        item |= {"source_branch": "fix", "target_branch": "main", "sha": "a" * 40, "draft": False,
                 "source_project_id": 5, "target_project_id": 5}  # fmt: skip
    else:
        item |= {"issue_type": "issue", "type": "ISSUE", "due_date": None, "confidential": False}
    notes = [
        {"id": number, "body": said.text, "author": _PERSON if said.role == MEMBER else _STRANGER,
         "created_at": "2026-11-02T10:00:00.000Z", "updated_at": "2026-11-02T10:00:00.000Z",
         "system": False, "noteable_id": item["id"], "noteable_type": "Issue",
         "resolvable": False, "confidential": False}
        for number, said in enumerate([*topic.comments, *topic.reviews], 1)
    ]  # fmt: skip
    threads = [{"id": f"{n['id']:040x}", "individual_note": True, "notes": [n]} for n in notes]
    members = [_PERSON | {"access_level": 40, "state": "active"}]
    answers: Json = {
        at: item, f"{at}/discussions": threads, f"{at}/notes": notes,
        f"{root}/members/all": members,
    }  # fmt: skip
    if topic.diff:
        approved = {"approved": True, "approved_by": [{"user": _PERSON}],
                    "user_has_approved": False, "user_can_approve": False}  # fmt: skip
        change = {"old_path": "a.py", "new_path": "a.py", "diff": topic.diff, "new_file": False,
                  "deleted_file": False, "renamed_file": False, "a_mode": "100644",
                  "b_mode": "100644"}  # fmt: skip
        answers |= {f"{at}/approvals": approved, f"{at}/diffs": [change]}
    return {name: as_json(answer) for name, answer in answers.items()}


_PERSON: Json = {"id": 7, "username": "bo", "name": "Bo", "state": "active",
                 "web_url": "https://lab.corp.example/bo", "avatar_url": None}  # fmt: skip
_STRANGER: Json = _PERSON | {"id": 8, "username": "eve", "name": "Eve"}
