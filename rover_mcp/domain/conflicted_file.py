"""A file on which two histories disagree, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _ConflictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SideCommit(_ConflictModel):
    """A commit of one side that changed the file."""

    commit: str
    author: str
    subject: str


class ConflictRegion(_ConflictModel):
    """A place that both sides changed. `line` is where it begins in the new base's file."""

    line: int
    onto: str
    base: str
    branch: str


class ConflictSide(_ConflictModel):
    """What a side has at the path, by git's mode and name of it; "both": what both were made
    from."""

    side: Literal["both", "onto", "branch"]
    mode: str
    name: str


class ConflictedFile(_ConflictModel):
    """`kind`: contents, added twice, modify/delete, rename, file/folder, binary, mode, link,
    submodule, lock file, or other. `advice` says what to do where it is not a matter of text. The
    commits are those that changed the file since both sides went apart."""

    path: str
    kind: str
    advice: str = ""
    regions: tuple[ConflictRegion, ...] = ()
    sides: tuple[ConflictSide, ...] = ()
    onto_commits: tuple[SideCommit, ...] = ()
    branch_commits: tuple[SideCommit, ...] = ()


def shown_kind(file: ConflictedFile) -> str:
    """The kind with the number of places, for a reader."""
    if not file.regions:
        return file.kind
    places = "1 place" if len(file.regions) == 1 else f"{len(file.regions)} places"
    return f"{places}" if file.kind == "contents" else f"{file.kind}, {places}"


def named_commits(commits: Sequence[SideCommit]) -> str:
    """Some commits, each with the beginning of its id and its subject."""
    return "; ".join(f"{one.commit[:10]} {one.subject}" for one in commits)
