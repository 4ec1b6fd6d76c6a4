"""What two histories disagree on, as data: each file that git cannot merge, each place in it with
both sides and what they were made from, and who changed it on either side."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from rover_mcp.domain.conflicted_file import (
    ConflictedFile,
    ConflictRegion,
    ConflictSide,
    SideCommit,
)
from rover_mcp.git.replay import FOLDER, IN_THE_WAY, Git, ReplayStop, StagedEntry

LOCK_FILES = {
    "Cargo.lock": "cargo update --workspace",
    "Gemfile.lock": "bundle lock",
    # --lock would only renew the hash. A package that no lock file has keeps all others where they
    # are, but for what composer.json requires otherwise by now.
    "composer.lock": "composer update --no-install --no-scripts rover/none",
    "go.sum": "go mod tidy",
    "package-lock.json": "npm install --package-lock-only",
    "Pipfile.lock": "pipenv lock",
    "pnpm-lock.yaml": "pnpm install --lockfile-only",
    "poetry.lock": "poetry lock",
    "uv.lock": "uv lock",
    "yarn.lock": "yarn install --mode update-lockfile",
}
"""Files that a program writes, and the command that renews them: no text of two versions, put
together by hand, is what that program would have written."""
SIDES: Mapping[int, Literal["both", "onto", "branch"]] = {1: "both", 2: "onto", 3: "branch"}
"""What the stages of a conflicted path are."""
MARKER_SIZE = 40
"""So long that no line of a file looks like one."""
MOST_COMMITS_NAMED = 5
MOST_BYTES = 1_000_000
"""Of one side: what is larger is not shown place by place."""
LINK, SUBMODULE = "120000", "160000"
"""Modes of what is not a regular file."""


def conflicted_files(git: Git, stop: ReplayStop, onto: str, tip: str) -> list[ConflictedFile]:
    """The files of a merge of the branch at `tip` with `onto` that git could not carry out."""
    base = git(["merge-base", onto, tip]).text
    files: list[ConflictedFile] = []
    for path in stop.paths:
        stages = {entry.stage: entry for entry in stop.entries if entry.path == path}
        kinds = {message.kind for message in stop.messages if path in message.paths}
        kind = conflict_kind(path, stages, kinds)
        regions: tuple[ConflictRegion, ...] = ()
        if kind in ("contents", "added twice"):
            sides = [_blob(git, stages.get(stage)) for stage in (2, 1, 3)]
            if any(side is None for side in sides):
                kind = "binary"
            else:
                ours, common, theirs = (side or b"" for side in sides)
                regions = tuple(_regions(git, ours, common, theirs))
        files.append(
            ConflictedFile(
                path=path,
                kind=kind,
                advice=_advice(path, kind),
                regions=regions,
                sides=tuple(
                    ConflictSide(side=SIDES[stage], mode=one.mode, name=one.blob)
                    for stage, one in sorted(stages.items())
                ),
                onto_commits=tuple(_commits(git, base, onto, path)),
                branch_commits=tuple(_commits(git, base, tip, path)),
            )
        )
    return files


def conflict_kind(path: str, stages: Mapping[int, StagedEntry], kinds: Collection[str]) -> str:
    """What sort of conflict a path has, by its sides and what git says of it."""
    modes = {entry.mode for entry in stages.values()}
    words = " ".join(kinds)
    if IN_THE_WAY in kinds:
        return "file/folder" if FOLDER in modes else "other"
    if SUBMODULE in modes or "submodule" in words:
        return "submodule"
    if LINK in modes:
        return "link"
    both = {2, 3} <= stages.keys()
    if both and PurePosixPath(path).name in LOCK_FILES:
        return "lock file"
    if "modify/delete" in words:
        return "modify/delete"
    if ("rename" in words and not both) or "directory" in words or "file location" in words:
        return "rename"
    if "binary" in words:
        return "binary"
    if not both:
        return "other"
    if "distinct modes" in words or (len(modes) > 1 and stages[2].blob == stages[3].blob):
        return "mode"
    return "contents" if 1 in stages else "added twice"


def pieces_of(merged: str) -> Iterator[str | ConflictRegion]:
    """The pieces of a merged text in which places are marked, with MARKER_SIZE and the base between
    the sides: text on which the sides agree, and the places on which they do not."""
    parts, agreed = _empty(), ""
    state, line, start = "", 1, 1
    for text in merged.splitlines(keepends=True):
        mark = next((c for c in "<|=>" if text.startswith(c * MARKER_SIZE)), "")
        if mark == "<":
            yield from [agreed] if agreed else []
            parts, agreed, state, start = _empty(), "", "onto", line
        elif mark == "|" and state == "onto":
            state = "base"
        elif mark == "=" and state == "base":
            state = "branch"
        elif mark == ">" and state == "branch":
            onto, base, branch = ("".join(parts[side]) for side in ("onto", "base", "branch"))
            yield ConflictRegion(line=start, onto=onto, base=base, branch=branch)
            state = ""
        else:
            if state:
                parts[state].append(text)
            else:
                agreed += text
            line += state in ("", "onto")
    yield from [agreed] if agreed else []


def _empty() -> dict[str, list[str]]:
    return {"onto": [], "base": [], "branch": []}


def conflict_pieces(git: Git, stop: ReplayStop, path: str) -> list[str | ConflictRegion] | None:
    """The pieces of a file that conflicts; None where a side of it is not UTF-8 text."""
    stages = {entry.stage: entry for entry in stop.entries if entry.path == path}
    sides = [_blob(git, stages.get(stage)) for stage in (2, 1, 3)]
    try:
        for side in sides:
            (side or b"").decode()
        if any(side is None for side in sides):
            return None
        ours, common, theirs = (side or b"" for side in sides)
        return list(pieces_of(_merged(git, ours, common, theirs).decode()))
    except UnicodeDecodeError:
        return None


def _regions(git: Git, ours: bytes, common: bytes, theirs: bytes) -> Iterator[ConflictRegion]:
    merged = _merged(git, ours, common, theirs).decode("utf-8", "backslashreplace")
    yield from (piece for piece in pieces_of(merged) if isinstance(piece, ConflictRegion))


def _merged(git: Git, ours: bytes, common: bytes, theirs: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="rover-conflict-") as name:
        files = [Path(name) / side for side in ("onto", "base", "branch")]
        for file, content in zip(files, (ours, common, theirs), strict=True):
            file.write_bytes(content)
        argv = ["merge-file", "-p", "--diff3", f"--marker-size={MARKER_SIZE}", *map(str, files)]
        return git(argv, output_limit=4 * MOST_BYTES).stdout


def _blob(git: Git, entry: StagedEntry | None) -> bytes | None:
    """The text of one side; empty where the side has no such file, None where it is not text."""
    if entry is None:
        return b""
    shown = git(["cat-file", "blob", entry.blob], output_limit=MOST_BYTES)
    usable = shown.code == 0 and not shown.truncated and b"\0" not in shown.stdout
    return shown.stdout if usable else None


def _commits(git: Git, base: str, until: str, path: str) -> Iterator[SideCommit]:
    argv = ["log", f"-{MOST_COMMITS_NAMED}", "--format=%H%x00%an%x00%s", f"{base}..{until}"]
    listed = git([*argv, "--", path])
    for line in listed.text.splitlines() if listed.code == 0 else ():
        commit, author, subject = line.split("\0", 2)
        yield SideCommit(commit=commit, author=author, subject=subject)


def _advice(path: str, kind: str) -> str:
    return {
        "lock file": f"take one side and run `{LOCK_FILES.get(PurePosixPath(path).name, '')}`",
        "modify/delete": "keep the changed file, or delete it",
        "rename": "choose the name that it keeps",
        "file/folder": "choose the file or the folder",
        "binary": "choose one side",
        "mode": "choose one side's mode",
        "link": "choose one side",
        "submodule": "choose the commit that the submodule is to be at",
        "other": "git says more: merge them yourself",
    }.get(kind, "")
