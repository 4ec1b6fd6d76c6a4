"""Searches what a push would send for secrets: every object of a range that the other side lacks.

All commits of the range count, not only the last one: what a later commit removes still leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.domain.secret_search import (
    NOTHING_KNOWN,
    KnownValues,
    SecretMatch,
    line_of,
    search_content,
)
from rover_mcp.git.branch_merge import SUBMODULE, has_object
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.repository_view import RepositoryView

MAX_FILE = 64 * 1024**2
MAX_TOGETHER = 512 * 1024**2
"""Bytes of a file, and of all that leaves. What is larger cannot be searched, and stays."""
HIDDEN_PART = "[hidden]"
_BATCH = 16 * 1024**2
_LIST_LIMIT = 256 * 1024**2
_COMPARED = 5
"""Commits of the other side in which a secret is looked up that is nothing new there."""


@dataclass(frozen=True)
class _Object:
    name: str
    kind: str
    size: int


def search_for_secrets(
    view: RepositoryView, tip: str, there: Sequence[str], known: KnownValues = NOTHING_KNOWN
) -> list[SecretMatch]:
    """The secrets in what `tip` reaches and none of the commits `there`, which the other side has:
    in files, in their names, and in the texts of commits, authors included. A secret that the same
    file has in one of `there` has left long ago, and is not listed.

    Raises:
        UserFixable: more leaves than can be searched ("too_large_to_search").
        EnvironmentFault: git failed ("search_failed").
    """
    if is_clean(view, tip, there, known):
        return []
    listed = _LeavingCommits(view, tip, there)
    paths, all_paths = _paths(view, listed.commits()[0])
    names = listed.rev_list("--objects", "--no-object-names")
    objects = [one for one in _facts(view, names) if one.kind in ("blob", "commit")]
    _check_sizes(objects, paths)
    return _Search(view, paths, all_paths, there, known).matches(objects)


def is_clean(
    view: RepositoryView, tip: str, there: Sequence[str], known: KnownValues = NOTHING_KNOWN
) -> bool:
    """Whether a quick look sees that search_for_secrets would find nothing. Where it is so, it is
    so too for any commits `there` that reach these.

    Raises:
        EnvironmentFault: git failed ("search_failed").
    """
    # What the commits change is listed at once. Which of it the other side has elsewhere, in a file
    # that was moved for example, takes git longer the larger the repository is, and matters only if
    # something is found. A merge would list all that the other side's commits have changed.
    commits, has_merge = _LeavingCommits(view, tip, there).commits()
    if has_merge:
        return False
    paths, all_paths = _paths(view, commits)
    objects = list(_facts(view, [*commits, *paths]))
    return _fits(objects) and not _Search(view, paths, all_paths, there, known).matches(objects)


@dataclass(frozen=True)
class _Search:
    """What is looked for, and where: `paths` has a path of each file's content, `all_paths` every
    path that the commits add."""

    view: RepositoryView
    paths: Mapping[str, str]
    all_paths: Sequence[str]
    there: Sequence[str]
    known: KnownValues

    def matches(self, objects: Sequence[_Object]) -> list[SecretMatch]:
        """The secrets in these objects, and in the paths."""
        matches = _in_names(self.all_paths, self.known)
        for one, content in _contents(self.view, objects):
            if one.kind == "commit":
                matches += _in_commit(one.name, content, self.known)
            else:
                path = self.paths.get(one.name, "")
                matches += _in_file(self.view, path, content, self.there, self.known)
        return matches


@dataclass(frozen=True)
class _LeavingCommits:
    """What `tip` reaches and none of the commits `there` does. Of these the repository need not
    have all."""

    view: RepositoryView
    tip: str
    there: Sequence[str]

    def rev_list(self, *options: str) -> list[str]:
        """The lines of git rev-list for it."""
        # From stdin, because a remote may have any number of branches.
        named = "".join(f"{name}\n" for name in (self.tip, *(f"^{c}" for c in self.there)))
        argv = ["rev-list", "--ignore-missing", *options, "--stdin"]
        return _lines(self.view.run(argv, stdin=named.encode(), output_limit=_LIST_LIMIT))

    def commits(self) -> tuple[list[str], bool]:
        """The commits that leave, and whether one of them is a merge."""
        lines = [line.split() for line in self.rev_list("--parents")]
        if not lines and not has_object(self.view, self.tip):
            raise EnvironmentFault(f"{self.tip} is missing", code="search_failed")
        return [line[0] for line in lines], any(len(line) > 2 for line in lines)


def _in_names(paths: Sequence[str], known: KnownValues) -> list[SecretMatch]:
    text = "\n".join(path.replace("\n", " ") for path in paths).encode("utf-8", "surrogateescape")
    return [
        SecretMatch(
            hit.kind, hit.form, _shown(paths[line_of(text, hit.position) - 1], known), None, None
        )
        for hit in search_content(text, known)
        # One name has nothing to do with the next.
        if hit.form != "split"
    ]


def _shown(path: str, known: KnownValues) -> str:
    """A path without the parts that hold a secret, for it is printed."""

    def is_clean(text: str) -> bool:
        return not search_content(text.encode("utf-8", "surrogateescape"), known)

    parts = [part if is_clean(part) else HIDDEN_PART for part in path.split("/")]
    shown = "/".join(parts)
    return shown if is_clean(shown) else HIDDEN_PART


def _in_commit(commit: str, content: bytes, known: KnownValues) -> list[SecretMatch]:
    # A signature is armoured base64, but the headers of a commit hold nothing else that is random.
    hits = search_content(content, known)
    return [SecretMatch(hit.kind, hit.form, None, None, commit) for hit in hits]


def _in_file(
    view: RepositoryView, path: str, content: bytes, there: Sequence[str], known: KnownValues
) -> list[SecretMatch]:
    hits = search_content(content, known)
    if not hits:
        return []
    old = {
        (hit.kind, hit.digest)
        for commit in there[:_COMPARED]
        for hit in search_content(_content_at(view, commit, path), known)
    }
    return [
        SecretMatch(hit.kind, hit.form, _shown(path, known), line_of(content, hit.position), None)
        for hit in hits
        if (hit.kind, hit.digest) not in old
    ]


def _content_at(view: RepositoryView, commit: str, path: str) -> bytes:
    shown = view.run(["cat-file", "blob", f"{commit}:{path}"], output_limit=MAX_FILE)
    return shown.stdout if shown.code == 0 and not shown.truncated else b""


def _facts(view: RepositoryView, names: Sequence[str]) -> Iterator[_Object]:
    listed = view.run(
        ["cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)"],
        stdin="".join(f"{name}\n" for name in names).encode(),
        output_limit=_LIST_LIMIT,
    )
    for line in _lines(listed):
        name, kind, *size = line.split()
        if not size:
            raise EnvironmentFault(f"the object {name} is {kind}", code="search_failed")
        yield _Object(name, kind, int(size[0]))


def _paths(view: RepositoryView, commits: Sequence[str]) -> tuple[Mapping[str, str], list[str]]:
    """A path of each file's content, and every path that a commit adds or changes."""
    argv = ["diff-tree", "--stdin", "-r", "-z", "-m", "--root", "--raw", "--no-abbrev",
            "--no-renames", "--no-commit-id"]  # fmt: skip
    listed = view.run(
        argv, stdin="".join(f"{c}\n" for c in commits).encode(), output_limit=_LIST_LIMIT
    )
    _check(listed)
    fields = listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    paths: dict[str, str] = {}
    for facts, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, name, status = facts.split()
        if status != "D" and mode != SUBMODULE:
            paths.setdefault(name, path)
    added = [p for facts, p in zip(fields[::2], fields[1::2], strict=True) if facts[-1] == "A"]
    return paths, list(dict.fromkeys(added))


def _fits(objects: Sequence[_Object]) -> bool:
    total = sum(one.size for one in objects)
    return total <= MAX_TOGETHER and all(one.size <= MAX_FILE for one in objects)


def _check_sizes(objects: Sequence[_Object], paths: Mapping[str, str]) -> None:
    if _fits(objects):
        return
    large = next((one for one in objects if one.size > MAX_FILE), None)
    what = f"{paths.get(large.name, large.name)!r} has" if large else "the files together have"
    most = MAX_FILE if large else MAX_TOGETHER
    raise UserFixable(
        f"{what} more than {most // 1024**2} MiB, so they cannot be searched for secrets",
        hint="look at what leaves, and push it with git yourself",
        code="too_large_to_search",
    )


def _contents(view: RepositoryView, objects: Sequence[_Object]) -> Iterator[tuple[_Object, bytes]]:
    """The content of each, read in batches that fit into memory."""
    batch: list[_Object] = []
    for one in objects:
        if batch and sum(other.size for other in batch) + one.size > _BATCH:
            yield from _read(view, batch)
            batch = []
        batch.append(one)
    if batch:
        yield from _read(view, batch)


def _read(view: RepositoryView, batch: Sequence[_Object]) -> Iterator[tuple[_Object, bytes]]:
    room = sum(one.size + 200 for one in batch)
    shown = view.run(
        ["cat-file", "--batch"],
        stdin="".join(f"{one.name}\n" for one in batch).encode(),
        output_limit=room,
    )
    _check(shown)
    at = 0
    for one in batch:
        at = shown.stdout.index(b"\n", at) + 1
        yield one, shown.stdout[at : at + one.size]
        at += one.size + 1


def _lines(result: GitResult) -> list[str]:
    _check(result)
    return result.text.splitlines()


def _check(result: GitResult) -> None:
    if result.code != 0 or result.truncated:
        why = "there is too much of it" if result.truncated else result.reason
        raise EnvironmentFault(
            f"what leaves cannot be searched for secrets: {why}", code="search_failed"
        )
