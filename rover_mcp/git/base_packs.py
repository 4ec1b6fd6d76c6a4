"""What tasks are based on: packs of exactly the objects that a commit reaches.

A repository holds more than its branches do: what was staged and taken back, dropped stashes,
deleted branches, and other branches than the one that a task works on. No task may see any of it.
So the objects that a base commit reaches are packed: all of them for the first base of a project,
and for a later one what is new since a base that is its ancestor. A task is lent the packs of its
own base and no others, by hard links.

<folder>/objects/pack/   every pack, of all bases; the hub borrows from here
<folder>/bases/<commit>  the packs that together hold what this commit reaches, as JSON
<folder>/shallow         where the history of shallow clones was cut off, as git has it
<folder>/alone/<commit>  links to these packs, for a git that is to see no others
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from agent_runner.atomic_write import replace_file
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.git_process import GitResult, run_git
from rover_mcp.git.locate import read_small
from rover_mcp.git.repository_view import SHALLOW, SHALLOW_LIMIT, boundary, opened

MOST_PACKS = 20
"""Of one base. Git looks into each pack for every object, so a base of more is packed into one."""
_CANDIDATES = 50
_MEMORY = 8 * 1024**3
_PACK = re.compile(r"pack-[0-9a-f]{40}")
_REF = "refs/rover/base/"
_TRAILER = 20

Git = Callable[..., GitResult]


@dataclass(frozen=True)
class Pack:
    """`name` is without a suffix. Size, time of change (ns) and check sum are those of the pack
    when it was written: a damaged one is recognised by them without reading gigabytes."""

    name: str
    size: int
    mtime: int
    checksum: str

    @classmethod
    def at(cls, path: Path) -> Pack:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            file.seek(max(0, facts.st_size - _TRAILER))
            checksum = file.read(_TRAILER).hex()
        return cls(path.stem, facts.st_size, facts.st_mtime_ns, checksum)


@dataclass(frozen=True)
class _Source:
    """A repository to copy from: how git is run for it, its objects, and its name in errors.
    `partial`: objects of earlier commits may be missing, as in a clone with --filter."""

    run: Git
    objects: Path
    name: str
    partial: bool = False


class BasePacks:
    """The bases of one project. Whoever changes them holds the project's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packs = folder / "objects" / "pack"
        self._records = folder / "bases"

    def has(self, commit: str) -> bool:
        """Whether all that the commit reaches is here, in packs that are not damaged."""
        return self._known(commit) is not None

    def bring(self, user_repo: Path, commit: str, stop: CancelToken | None = None) -> None:
        """Pack what the commit reaches, out of the user's repository.

        Raises:
            UserFixable: the repository is gone, or it cannot be used.
            EnvironmentFault: the commit or something that it reaches is missing ("hub_failed").
            Stopped: `stop` was cancelled.
        """
        with opened(user_repo) as view:
            objects = view.place.common / "objects"
            run = partial(view.run, stop=stop)
            cut = boundary(view, commit)
            # After `git fetch --unshallow` the repository goes further back than the bases that
            # were packed before it. What is built on those would lack the older commits.
            grown = self._cut_off_at().difference(cut)
            self._cut_off(cut)
            self._bring(
                _Source(run, objects, str(user_repo), view.partial), commit, alone=bool(grown)
            )

    def bring_from(self, repository: Path, commit: str) -> None:
        """Pack what the commit reaches, out of one of Rover's own repositories."""

        def run(argv: Sequence[str], **options: object) -> GitResult:
            return run_git(argv, repository, **options)  # type: ignore[arg-type]

        self._bring(_Source(run, repository / "objects", repository.name), commit)

    def lend(self, commit: str, objects: Path) -> None:
        """Link the packs of a base into a folder that a sandbox sees as `objects`.

        Raises:
            KeyError: the base is not here.
            OSError: the folder cannot be written.
        """
        # Hard links cost no space and stay when the base is removed here: a task that runs keeps
        # what it was lent.
        packs = self._known(commit)
        if packs is None:
            raise KeyError(commit)
        target = objects / "pack"
        target.mkdir(parents=True, exist_ok=True)
        for folder in (objects, target):
            folder.chmod(0o755)
        for pack in packs:
            for file in self._files(pack.name):
                link(file, target / file.name)

    def alone(self, commit: str) -> Path:
        """A folder of objects that holds what a base reaches and nothing else. A git that reads
        what an agent made is given this one, so that an id of another base's object leads nowhere.

        Raises:
            KeyError: the base is not here.
            OSError: the folder cannot be written.
        """
        folder = self._folder / "alone" / commit
        self.lend(commit, folder)
        return folder

    def take_back(self, commit: str, objects: Path) -> bool:
        """Link the packs back that a task was lent; whether they are all of a base."""
        names = sorted(path.stem for path in (objects / "pack").glob("pack-*.pack"))
        self._packs.mkdir(parents=True, exist_ok=True)
        for name in names:
            for file in (objects / "pack").glob(f"{name}.*"):
                link(file, self._packs / file.name)
        if not names or not self._is_whole(commit):
            return False
        self._record(commit, names)
        return True

    def keep_only(self, needed: Collection[str]) -> None:
        """Remove every other base, and the packs that none of the needed ones consists of.

        Raises:
            EnvironmentFault: the folder cannot be written.
        """
        try:
            for commit in self._commits():
                if commit not in needed:
                    (self._records / commit).unlink(missing_ok=True)
                    run_git(["update-ref", "-d", "--", _REF + commit], self._folder)
            for alone in (self._folder / "alone").glob("*"):
                if alone.name not in needed:
                    shutil.rmtree(alone)
            named = [self._named(commit) for commit in self._commits()]
            if None in named:
                # A record that cannot be read may need any of the packs, so all of them stay.
                return
            kept = {name for names in named if names for name in names}
            # The index goes first: git looks for packs by it, and would report a missing pack.
            for file in sorted(self._packs.glob("pack-*"), key=lambda path: path.suffix != ".idx"):
                if file.stem not in kept:
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise no_room(self._folder, error) from error

    def _named(self, commit: str) -> list[str] | None:
        """The packs of a base by its record; None where that cannot be read."""
        try:
            return [str(pack["name"]) for pack in json.loads((self._records / commit).read_bytes())]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    # -- making ------------------------------------------------------------------------------

    def _bring(self, source: _Source, commit: str, *, alone: bool = False) -> None:
        """Pack the commit's objects, with `alone` all of them, and not only what no other base
        has."""
        self._clear()
        self._drop_damaged()
        before = None
        if not alone:
            before = self._ancestor(source.run, commit) or self._fork(source, commit)
        names = [pack.name for pack in (self._known(before) or ())] if before else []
        if len(names) >= MOST_PACKS:
            before, names = None, []
        new = self._pack(source, commit, before)
        self._record(commit, [*names, new])

    def _cut_off(self, commits: Collection[str]) -> None:
        """Record that the history ends at these commits, whose parents a shallow clone lacks. This
        comes before they are packed: otherwise git takes the pack for incomplete."""
        file, known = self._folder / SHALLOW, self._cut_off_at()
        if known.issuperset(commits):
            return
        try:
            replace_file(file, "".join(f"{commit}\n" for commit in sorted(known.union(commits))))
        except OSError as error:
            raise no_room(self._folder, error) from error

    def _cut_off_at(self) -> set[str]:
        return set((read_small(self._folder / SHALLOW, SHALLOW_LIMIT) or b"").decode().split())

    def _clear(self) -> None:
        """Remove what a killed process left. The caller holds the lock, so none of it is in use."""
        for stale in self._packs.glob("tmp_*"):
            stale.unlink(missing_ok=True)
        for stale in self._folder.glob("tmp-*"):
            shutil.rmtree(stale, ignore_errors=True)

    def _drop_damaged(self) -> None:
        for commit in self._commits():
            if self._known(commit) is None:
                self._drop(commit)

    def _drop(self, commit: str) -> None:
        """Remove a base's record, and each of its packs that cannot be read."""
        record = self._records / commit
        for name in self._named(commit) or ():
            if _PACK.fullmatch(name) and not self._verified(name):
                for file in self._files(name):
                    file.unlink(missing_ok=True)
        record.unlink(missing_ok=True)
        run_git(["update-ref", "-d", "--", _REF + commit], self._folder)

    def _ancestor(self, run: Git, commit: str) -> str | None:
        """The newest base that is here and is an ancestor of the commit."""
        for known in self._commits()[:_CANDIDATES]:
            if run(["merge-base", "--is-ancestor", known, commit]).code == 0 and self.has(known):
                return known
        return None

    def _fork(self, source: _Source, commit: str) -> str | None:
        """Make a base of the commit at which the history of `commit` left that of the newest base.
        Tasks on sibling branches then cost what is new on each, and not the whole history each."""
        for known in self._commits()[:1]:
            merge_base = source.run(["merge-base", known, commit])
            if merge_base.code == 0 and merge_base.text and merge_base.text != commit:
                self._record(merge_base.text, [self._pack(source, merge_base.text, None)])
                return merge_base.text
        return None

    def _pack(self, source: _Source, commit: str, before: str | None) -> str:
        """Write a pack of what `commit` reaches and `before` does not; its name."""
        wanted = f"{commit}\n" + (f"^{before}\n" if before else "")
        argv = ["pack-objects", "-q", "--delta-base-offset"]
        argv += [] if source.partial else ["--revs"]
        try:
            self._packs.mkdir(parents=True, exist_ok=True)
            with (
                tempfile.TemporaryDirectory(prefix="tmp-", dir=self._folder) as new,
                tempfile.TemporaryFile(dir=new) as listed,
            ):
                if source.partial:
                    _list_objects(source, wanted, listed.fileno(), self._folder)
                packed = source.run(
                    [*argv, f"{new}/pack"],
                    extra_env=_written_to(self._folder / "objects", source.objects),
                    stdin=listed.fileno() if source.partial else wanted.encode(),
                    memory_limit=_MEMORY,
                    settings=("pack.writeBitmaps=false", "pack.packSizeLimit=0"),
                )
                taken = f"commit {commit} cannot be copied from {source.name}"
                checked(packed, taken, self._folder)
                # The index last: without it git does not look at a pack.
                for file in sorted(Path(new).iterdir(), key=lambda p: p.suffix == ".idx"):
                    file.chmod(0o444)
                    file.replace(self._packs / file.name)
                return f"pack-{packed.text}"
        except OSError as error:
            raise no_room(self._folder, error) from error

    def _record(self, commit: str, names: Sequence[str]) -> list[Pack]:
        packs = [Pack.at(self._packs / f"{name}.pack") for name in names]
        try:
            self._records.mkdir(exist_ok=True)
            replace_file(self._records / commit, json.dumps([asdict(pack) for pack in packs]))
        except OSError as error:
            raise no_room(self._records, error) from error
        # For git: what no reference leads to is rubbish to it.
        run_git(["update-ref", "--", _REF + commit, commit], self._folder)
        return packs

    # -- asking ------------------------------------------------------------------------------

    def _commits(self) -> list[str]:
        """The bases that are here, the newest first."""
        try:
            records = [path for path in self._records.iterdir() if not path.name.startswith(".")]
        except FileNotFoundError:
            return []
        return [p.name for p in sorted(records, key=lambda p: p.stat().st_mtime_ns, reverse=True)]

    def _known(self, commit: str | None) -> list[Pack] | None:
        if commit is None:
            return None
        try:
            data = json.loads((self._records / commit).read_bytes())
            packs = [Pack(**pack) for pack in data]
            changed = [p for p in packs if Pack.at(self._packs / f"{p.name}.pack") != p]
        except (OSError, ValueError, TypeError):
            return None
        if any(not (self._packs / f"{pack.name}.idx").is_file() for pack in packs):
            return None
        if not changed:
            return packs
        if not all(self._verified(pack.name) for pack in changed):
            return None
        return self._record(commit, [pack.name for pack in packs])

    def _verified(self, name: str) -> bool:
        """Whether a pack whose size, time or check sum has changed is still sound."""
        argv = ["verify-pack", "--", str(self._packs / f"{name}.idx")]
        return run_git(argv, self._folder).code == 0

    def _is_whole(self, commit: str) -> bool:
        argv = ["rev-list", "--objects", "--quiet", commit]
        try:
            return run_git(argv, self._folder).code == 0
        except EnvironmentFault:
            return False

    def _files(self, name: str) -> list[Path]:
        return sorted(self._packs.glob(f"{name}.*"), key=lambda path: path.suffix == ".idx")


def _list_objects(source: _Source, wanted: str, target: int, place: Path) -> None:
    """List those of the objects `wanted` that exist. `git pack-objects --revs` would end at the
    first missing tree of a partial clone, whatever its --missing option says."""
    argv = ["rev-list", "--objects", "--missing=allow-any", "--stdin"]
    result = source.run(argv, stdin=wanted.encode(), stdout=target)
    checked(result, f"the objects of {source.name} cannot be listed", place)
    os.lseek(target, 0, os.SEEK_SET)


def _written_to(ours: Path, theirs: Path) -> dict[str, str]:
    """The environment of a git that writes new files to `ours` and reads `theirs` as well. Git
    writes a pack beside the objects first and renames it to its place, which may be on another
    file system than the user's repository, and which has to be the only one that changes."""
    return {
        "GIT_OBJECT_DIRECTORY": str(ours),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(theirs),
    }


def quoted(folder: Path) -> str:
    """A folder as one entry of GIT_ALTERNATE_OBJECT_DIRECTORIES."""
    text = str(folder.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links."""
    if target.exists() and target.samefile(source):
        return
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.link(source, new)
    except OSError:
        shutil.copyfile(source, new)
        new.chmod(0o444)
    new.replace(target)
    # rename(2) does nothing, and leaves both names, if they are links to the same file already: as
    # when another process made this link between the check and here.
    new.unlink(missing_ok=True)
