"""Replaying the commits of a branch on top of another commit, in git's objects alone.

Each commit is one three-way merge: of the commit, of what the branch is so far, and of the commit's
own parent as their base. There is no work tree, so that nothing of the user's is in the way, and a
conflict is a value that can be kept, not a state that somebody has to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent_runner.worktree.worktree import USER_EMAIL, USER_NAME
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.git.branch_merge import MERGE_TREE_SINCE
from rover_mcp.git.git_process import GitResult

MOST_COMMITS = 500
"""Of a branch that is replayed: each takes some processes."""
FOLDER = "040000"
"""The mode of a folder."""
IN_THE_WAY = "CONFLICT (file/directory)"
"""What git says of a file and a folder of one name. The file's new place comes first."""
_LIST_LIMIT = 64 * 1024**2
ANYBODY = {
    f"GIT_{role}_{part}": text
    for role in ("AUTHOR", "COMMITTER")
    for part, text in (("NAME", USER_NAME), ("EMAIL", USER_EMAIL), ("DATE", "@0 +0000"))
}

Git = Callable[..., GitResult]


@dataclass(frozen=True)
class StagedEntry:
    """One side of a conflicted path. `stage` 1 is the base, 2 what the branch is replayed on, 3 the
    replayed commit. `blob` is a tree where the mode is FOLDER: the other side has a file there."""

    mode: str
    blob: str
    stage: int
    path: str


@dataclass(frozen=True)
class MergeMessage:
    """What git says of a path that it could not merge. `kind` is stable, as `CONFLICT (contents)`;
    `text` is for people."""

    paths: Sequence[str]
    kind: str
    text: str


@dataclass(frozen=True)
class ReplayStop:
    """`commit` conflicts with `onto`, which is what the branch is so far. `tree` has what git could
    merge, and the conflicted files with markers. `aside` says where it has a file in whose place
    the other side has a folder, by the path that this is about."""

    commit: str
    parent: str
    onto: str
    tree: str
    entries: Sequence[StagedEntry]
    messages: Sequence[MergeMessage]
    aside: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def paths(self) -> list[str]:
        """The conflicted paths, each once."""
        return list(dict.fromkeys(entry.path for entry in self.entries))


def unresolved(stop: ReplayStop) -> str | None:
    """Stands for `Replay.resolve` where nothing is resolved."""
    return None


@dataclass(frozen=True)
class Replayed:
    """`tip` is the last commit of the branch on its new base; it has `commits` of its own.
    `dropped` commits were in the base already. `collapsed`: the branch had merges, and is one
    commit now. `stop`: how far it came."""

    tip: str
    tree: str
    commits: int
    dropped: int
    collapsed: bool
    stop: ReplayStop | None


def own_commits(git: Git, tip: str, onto: str, base: str) -> list[str]:
    """The commits of the branch at `tip` that are neither its old base's nor in `onto`, oldest
    first, merges included.

    Raises:
        EnvironmentFault: git failed ("rebase_failed").
        Conflict: they are too many ("too_many_commits").
    """
    argv = ["rev-list", "--reverse", "--topo-order", tip, f"^{onto}", f"^{base}"]
    listed = _checked(git(argv, output_limit=_LIST_LIMIT), "the commits cannot be listed")
    commits = listed.text.split()
    if len(commits) > MOST_COMMITS:
        raise Conflict(
            f"the branch has {len(commits)} commits, and at most {MOST_COMMITS} are rebased",
            hint="rebase it with git itself, or squash it first",
            code="too_many_commits",
        )
    return commits


@dataclass
class Replay:
    """Replays commits with `git`, which says where objects are written. `resolve` gives the tree
    that resolves a stop, if there is one: then the replay continues over it."""

    git: Git
    resolve: Callable[[ReplayStop], str | None] = unresolved

    def run(self, commits: Sequence[str], onto: str, tip: str) -> Replayed:
        """Replay `commits`, the last of which is `tip`, on top of `onto`. The same commits on top
        of the same base become the same commits, whenever that is done.

        Raises:
            Conflict: git cannot merge them at all ("not_rebasable").
            EnvironmentFault: git is too old ("git_too_old") or failed ("rebase_failed").
        """
        parents = {commit: self._parents(commit) for commit in commits}
        if any(len(known) != 1 for known in parents.values()):
            # A merge has no one change of its own to replay, and without it what it resolved
            # would be lost: so what all the commits changed together is one commit.
            return self.together(commits, onto, tip)
        new, dropped, replayed = onto, 0, 0
        for commit in commits:
            (parent,) = parents[commit]
            if parent == new:
                new, replayed = commit, replayed + 1
                continue
            merged = self._merge(self._child(new, parent), commit, new, parent)
            if isinstance(merged, ReplayStop):
                return self._replayed(new, replayed, dropped, stop=merged)
            if merged == self._tree(new) and self._tree(parent) != self._tree(commit):
                dropped += 1
                continue
            new, replayed = self._moved(commit, merged, new), replayed + 1
        return self._replayed(new, replayed, dropped)

    def together(self, commits: Sequence[str], onto: str, tip: str) -> Replayed:
        """What all the commits changed together as one commit on top of `onto`. Raises as `run`."""
        base = self.git(["merge-base", onto, tip]).text
        merged = self._merge(onto, tip, onto, base)
        if isinstance(merged, ReplayStop):
            return self._replayed(onto, 0, 0, collapsed=True, stop=merged)
        if merged == self._tree(onto):
            return self._replayed(onto, 0, len(commits), collapsed=True)
        plain = [c for c in commits if len(self._parents(c)) == 1]
        texts = [self._message(c).strip() for c in plain] or [self._message(tip).strip()]
        message = "\n\n".join(texts).encode("utf-8", "surrogateescape") + b"\n"
        new = self._moved((plain or [tip])[-1], merged, onto, message)
        return self._replayed(new, 1, 0, collapsed=True)

    def _replayed(
        self,
        new: str,
        commits: int,
        dropped: int,
        *,
        collapsed: bool = False,
        stop: ReplayStop | None = None,
    ) -> Replayed:
        return Replayed(new, self._tree(new), commits, dropped, collapsed, stop)

    def _merge(self, ours: str, commit: str, onto: str, parent: str) -> str | ReplayStop:
        merged = self.git(
            ["merge-tree", "--write-tree", "-z", "--messages", ours, commit],
            output_limit=_LIST_LIMIT,
        )
        if merged.code == 0:
            return merged.stdout.partition(b"\0")[0].decode()
        if merged.code == 1 and not merged.truncated:
            tree, entries, messages = _conflicts(merged.stdout)
            stop = self._with_folders(ReplayStop(commit, parent, onto, tree, entries, messages))
            return self.resolve(stop) or stop
        if "usage: git merge-tree" in merged.stderr:
            raise EnvironmentFault(
                f"a rebase needs git {MERGE_TREE_SINCE} or later",
                hint="update git, or rebase the task's branch yourself",
                code="git_too_old",
            )
        raise Conflict(
            f"git cannot replay the commit {commit[:10]}: {merged.reason}",
            hint="rebase the task's branch yourself, to see what git says",
            code="not_rebasable",
        )

    def _with_folders(self, stop: ReplayStop) -> ReplayStop:
        """The stop with each file that git moved out of the way of a folder under its own name, and
        the folder as the other side of it."""
        moved = {m.paths[0]: m.paths[1] for m in stop.messages if m.kind == IN_THE_WAY}
        entries = [replace(e, path=moved.get(e.path, e.path)) for e in stop.entries]
        for name in moved.values():
            stages = {entry.stage for entry in entries if entry.path == name}
            tree = self.git(["rev-parse", "--verify", "-q", f"{stop.tree}:{name}"])
            if tree.code == 0 and len(others := {2, 3} - stages) == 1:
                entries.append(StagedEntry(FOLDER, tree.text, others.pop(), name))
        messages = [
            replace(m, paths=list(dict.fromkeys(moved.get(path, path) for path in m.paths)))
            for m in stop.messages
        ]
        aside = {name: place for place, name in moved.items()}
        return replace(stop, entries=entries, messages=messages, aside=aside)

    def _child(self, commit: str, parent: str) -> str:
        """A commit with the files of `commit`, whose only parent is `parent`: so git takes that
        for the merge base. (The option that names a base is git 2.40's.)"""
        argv = ["commit-tree", f"{commit}^{{tree}}", "-p", parent, "-m", "replayed on"]
        return _checked(self.git(argv, extra_env=ANYBODY), "an object cannot be written").text

    def _moved(self, commit: str, tree: str, parent: str, message: bytes | None = None) -> str:
        """The commit with another tree and parent. Author, committer and times stay: so the same
        replay gives the same commits, and a signature, which would be wrong, is left out."""
        raw = _checked(self.git(["cat-file", "commit", commit]), "a commit cannot be read").stdout
        head, _, text = raw.partition(b"\n\n")
        lines = [f"tree {tree}".encode(), f"parent {parent}".encode(), *_kept_headers(head)]
        content = b"\n".join(lines) + b"\n\n" + (text if message is None else message)
        argv = ["hash-object", "-t", "commit", "-w", "--stdin"]
        return _checked(self.git(argv, stdin=content), "a commit cannot be written").text

    def _parents(self, commit: str) -> list[str]:
        return self._shown(commit, "%P").split()

    def _tree(self, commit: str) -> str:
        return self._shown(commit, "%T")

    def _message(self, commit: str) -> str:
        return self._shown(commit, "%B")

    def _shown(self, commit: str, form: str) -> str:
        shown = self.git(["show", "-s", f"--format={form}", commit])
        _checked(shown, "a commit cannot be read")
        return shown.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


def _kept_headers(head: bytes) -> Iterator[bytes]:
    skipped = False
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            if not skipped:
                yield line
            continue
        skipped = line.split(b" ", 1)[0] in (b"tree", b"parent", b"gpgsig", b"gpgsig-sha256")
        if not skipped:
            yield line


def _conflicts(out: bytes) -> tuple[str, list[StagedEntry], list[MergeMessage]]:
    """What merge-tree says with -z: the tree, the sides of each conflicted path, an empty field,
    and then, for each message, how many paths it is about, those, its kind and its text."""
    fields = out.decode("utf-8", "surrogateescape").split("\0")
    tree, rest = fields[0], iter(fields[1:])
    entries: list[StagedEntry] = []
    for entry in rest:
        if not entry:
            break
        facts, _, path = entry.partition("\t")
        mode, blob, stage = facts.split(" ")
        entries.append(StagedEntry(mode, blob, int(stage), path))
    messages: list[MergeMessage] = []
    for count in rest:
        if not count.strip().isdecimal():
            break
        paths = [next(rest) for _ in range(int(count))]
        messages.append(MergeMessage(paths, next(rest), next(rest).strip()))
    return tree, entries, [m for m in messages if m.kind.startswith("CONFLICT")]


def _checked(result: GitResult, what: str) -> GitResult:
    if result.code == 0 and not result.truncated:
        return result
    raise EnvironmentFault(f"{what}: {result.reason}", code="rebase_failed")
