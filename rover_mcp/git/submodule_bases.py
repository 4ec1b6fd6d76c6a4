"""Bases of submodules: what their commits reach, packed and lent as in base_packs.py."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rover_mcp.domain.errors import RoverError
from rover_mcp.git.bare_repository import init_bare
from rover_mcp.git.base_packs import BasePacks
from rover_mcp.git.git_errors import no_room
from rover_mcp.git.submodules import Submodule, Submodules, describe


class SubmoduleBases:
    """The bases of one project's submodules. The caller holds the project's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lend(self, wanted: Submodules, objects: Path, names: Path) -> list[str]:
        """Link the objects of submodules into numbered folders of `objects`, and write what they
        are into folders of `names` with the same numbers. `names` appears at once, and last. A
        submodule that cannot be read is left out with all inside it; the sentences returned say
        why.

        Raises:
            EnvironmentFault: the data folder cannot be written.
        """
        reasons = list[str]()
        new, numbers = names.with_name(f"{names.name}.new"), dict[int, int]()
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            for place, one in enumerate(wanted.submodules):
                if one.parent is not None and one.parent not in numbers:
                    continue
                try:
                    files = describe(one)
                    self._lend(one, objects / str(len(numbers)))
                except RoverError as error:
                    reasons.append(f"{one.path}: {error.message}")
                    continue
                if one.parent is not None:
                    files["parent"] = str(numbers[one.parent]).encode()
                _write(new / str(len(numbers)), files)
                numbers[place] = len(numbers)
            new.replace(names)
        except OSError as error:
            raise no_room(names.parent, error) from error
        return reasons

    def _lend(self, one: Submodule, objects: Path) -> None:
        key = hashlib.sha256(os.fsencode(one.path)).hexdigest()[:16]
        base = self._folder / key
        init_bare(base)
        bases = BasePacks(base)
        if not bases.has(one.commit):
            bases.bring(one.folder, one.commit)
        objects.parent.mkdir(parents=True, exist_ok=True)
        objects.parent.chmod(0o755)
        bases.lend(one.commit, objects)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
