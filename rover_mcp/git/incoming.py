"""Bundles of a task on their way into the hub: an agent wrote them, so they are checked first."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent_runner.models import Snapshot
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.bundle import BundleHeader, bad_bundle
from rover_mcp.git.git_errors import disk_full, no_room, refused
from rover_mcp.git.git_process import HARMLESS, GitResult, run_git
from rover_mcp.git.own_objects import OwnObjects
from rover_mcp.git.repository import is_branch_name


@dataclass(frozen=True)
class Incoming:
    """The import of one task's objects into the bare repository `hub`. The caller holds the lock of
    the hub's objects."""

    hub: Path
    own: OwnObjects
    task_id: str
    base_commit: str

    def check_prerequisites(self, bundle: Path, header: BundleHeader) -> None:
        """Check that the task has all commits that the bundle builds on.

        Raises:
            EnvironmentFault: one is missing ("bundle_incomplete").
        """
        own = self.own.reading(self.task_id, self.base_commit)
        here = self._objects(header.prerequisites, own)
        missing = [c for c in header.prerequisites if here.get(c) != (c, "commit")]
        if missing:
            raise EnvironmentFault(
                f"the bundle {bundle.name} builds on {missing[0]}, which is not here",
                hint="an earlier bundle has to be imported first",
                code="bundle_incomplete",
            )

    def take(self, bundle: Path, pack: BinaryIO, snapshot: Snapshot, limit: int) -> None:
        """Add the pack's objects to the hub and to the task, if they are complete and hold the
        snapshot. `limit` is the pack's greatest size in bytes.

        Raises:
            EnvironmentFault: something is missing or malformed ("bundle_refused"), or the disk is
                full.
        """
        objects = self.hub / "objects"
        try:
            incoming = Path(tempfile.mkdtemp(prefix="incoming-", dir=objects))
        except OSError as error:
            raise no_room(objects, error) from error
        try:
            quarantine = self.own.writing(self.task_id, self.base_commit, incoming)
            (incoming / "pack").mkdir()
            self._index(bundle, pack, limit, quarantine)
            self._check_snapshot(bundle, snapshot, quarantine)
            (objects / "pack").mkdir(exist_ok=True)
            # The index comes last: without it git does not look at a pack, so that a crash leaves
            # no pack that is in use and incomplete.
            parts = sorted((incoming / "pack").iterdir(), key=lambda p: p.suffix == ".idx")
            self.own.add(self.task_id, parts)
            for part in parts:
                part.replace(objects / "pack" / part.name)
        except OSError as error:
            raise no_room(objects, error) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _index(
        self, bundle: Path, pack: BinaryIO, limit: int, quarantine: Mapping[str, str]
    ) -> None:
        start = os.lseek(pack.fileno(), 0, os.SEEK_CUR)

        def index(ignored: Sequence[str]) -> GitResult:
            os.lseek(pack.fileno(), start, os.SEEK_SET)
            levels = ",".join(f"{name}=ignore" for name in ignored)
            strict = f"--strict={levels}" if levels else "--strict"
            return run_git(
                ["index-pack", "--stdin", "--fix-thin", strict, f"--max-input-size={limit}"],
                self.hub,
                extra_env=quarantine,
                stdin=pack.fileno(),
            )

        ignored: list[str] = []
        result = index(ignored)
        # Only checks that git has just complained of are switched off: an older git refuses the
        # name of a check that it does not know. It may stop at the first complaint, hence the loop.
        while named := [n for n in HARMLESS if n not in ignored and f": {n}: " in result.stderr]:
            ignored += named
            result = index(ignored)
        if disk_full(result):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if result.code != 0:
            raise bad_bundle(bundle, refused(result))

    def _check_snapshot(self, bundle: Path, snapshot: Snapshot, env: Mapping[str, str]) -> None:
        head, commit, tree = snapshot.head, snapshot.commit, f"{snapshot.commit}^{{tree}}"
        here = self._objects((head, commit, tree), env)
        if here.get(head) != (head, "commit"):
            raise bad_bundle(bundle, f"the branch's commit {head} is not in it")
        if here.get(commit) != (commit, "commit") or here.get(tree) != (snapshot.tree, "tree"):
            raise bad_bundle(bundle, f"the snapshot {commit} is not what it should be")

    def _objects(self, names: Sequence[str], env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """The id and the type of each object that is here, by the name that was asked for."""
        queries = "".join(f"{name}\n" for name in names).encode()
        argv = ["cat-file", "--batch-check=%(objectname) %(objecttype)"]
        listed = run_git(argv, self.hub, extra_env=env, stdin=queries)
        # One that is missing has a line, too; a git that failed has printed fewer lines.
        lines = [line.partition(" ") for line in listed.text.splitlines()]
        return {name: (line[0], line[2]) for name, line in zip(names, lines, strict=False)}


def check_references(bundle: Path, header: BundleHeader, expected: Mapping[str, str]) -> None:
    """Check that the bundle holds no references but the expected ones.

    Raises:
        EnvironmentFault: it holds another one, or one with another id ("bundle_refused").
    """
    # Fewer are fine: git leaves out a branch that has not moved since an earlier bundle.
    for name, commit in header.references.items():
        if name not in expected or not is_branch_name(name.split("/", 2)[2]):
            raise bad_bundle(bundle, f"it holds the ref {name[:80]}, which it should not")
        if commit != expected[name]:
            raise bad_bundle(bundle, f"its {name} is not what the journal says")
