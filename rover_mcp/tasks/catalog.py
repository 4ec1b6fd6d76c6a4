"""Finds workflows: the project's own come before the user's, and those before the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from agent_runner.workflow.loader import check_workflow
from agent_runner.workflow.models import Workflow, WorkflowError
from agent_runner.workflow.yaml_source import MAX_BYTES, decode
from rover_mcp.config.safe_read import FileRefused, names_beneath, read_beneath, read_regular_file
from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.domain.ids import meant, named, nearest

Source = Literal["project", "user", "built-in"]


FOLDER = ".rover/workflows"
MAX_FILES = 500
"""Names in a folder that are looked at."""


@dataclass(frozen=True)
class CatalogEntry:
    """A workflow file and the content that was read from it. `error` says why it cannot be used, if
    it cannot. `shadowed` names the origin of a workflow with the same name that this one replaces.
    `advice` has a line for each thing in it that is probably not intended."""

    name: str
    source: Source
    path: Path
    workflow: Workflow | None
    error: str | None = None
    data: bytes = b""
    shadowed: Source | None = None
    advice: tuple[str, ...] = ()


def builtin_folder() -> Path:
    """The built-in workflows: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "builtin_workflows"
    return installed if installed.is_dir() else package.parent / "workflows"


class Catalog:
    """Finds workflows by name. A name is a file's stem."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def entries(self, repository: Path | None) -> list[CatalogEntry]:
        """Every workflow that a task of this repository could use, by name."""
        files: dict[str, _WorkflowFile] = {}
        shadowed: dict[str, Source] = {}
        for file in self._files(repository):
            if file.name not in files:
                files[file.name] = file
            # Only a file from elsewhere is shadowed: x.yaml and x.yml in one folder are no reason
            # to ask.
            elif file.source != files[file.name].source:
                shadowed.setdefault(file.name, file.source)
        return [_entry(files[name], shadowed.get(name)) for name in sorted(files)]

    def find(self, name: str, repository: Path | None) -> CatalogEntry:
        """The workflow called `name`.

        Raises:
            NotFound: there is none.
            UserFixable: it has an error, which is given with file, line and column.
        """
        entry = self._named(name, repository)
        if entry is None:
            names = [e.name for e in self.entries(repository)]
            near = nearest(Path(name).stem, names)
            raise NotFound(
                f"there is no workflow {name[:80]!r}; there are: {', '.join(names)}",
                code="unknown_workflow",
                hint=f"{meant(Path(name).stem, names)}choose one of these, "
                "or put a file into .rover/workflows/",
                next_call=None if near else {"tool": "list_workflows", "arguments": {}},
                instead={"workflow": near},
            )
        # Reported here and not by `entries`: a list of workflows must not fail because of one
        # broken file.
        if entry.workflow is None:
            raise UserFixable(
                f"the workflow {name} cannot be used: {entry.error}",
                code="invalid_workflow",
                hint=f"correct the file; rover workflow check {entry.path} shows what is wrong",
            )
        return entry

    def text(self, name: str, repository: Path | None) -> str:
        """A workflow's file as it was read. Only one that is a valid workflow: what a repository
        has put in its place shows nothing of it.

        Raises:
            NotFound, UserFixable: as `find`.
        """
        entry = self.find(name, repository)
        return decode(entry.data, entry.path.name, "the workflow")

    def _named(self, name: str, repository: Path | None) -> CatalogEntry | None:
        files = list(self._files(repository))
        name = named(file_stem(name), {file.name for file in files}) or name
        same = [file for file in files if file.name == name]
        if not same:
            return None
        others: list[Source] = [file.source for file in same if file.source != same[0].source]
        return _entry(same[0], others[0] if others else None)

    def _files(self, repository: Path | None) -> Iterator[_WorkflowFile]:
        if repository is not None:
            # The project's come first, because what a team has committed for its repository fits it
            # best. Consent is asked for where one stands in for a workflow of the user's.
            yield from _files_beneath(repository)
        folders: tuple[tuple[Source, Path], ...] = (
            ("user", self._home / "workflows"),
            ("built-in", builtin_folder()),
        )
        for source, folder in folders:
            # Sorted, so that of x.yaml and x.yml the same one wins on every machine.
            for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
                yield _WorkflowFile(source, path.stem, path, partial(_read, path))


def file_stem(name: str) -> str:
    """The name of the workflow that a file holds, for a path in a repository or a name in a
    list."""
    match = re.fullmatch(rf"(?:\./)?(?:{re.escape(FOLDER)}/)?([^/]+)\.ya?ml", name.strip())
    return match[1] if match else name


@dataclass(frozen=True)
class _WorkflowFile:
    source: Source
    name: str
    path: Path
    read: Callable[[], bytes]


def _files_beneath(repository: Path) -> Iterator[_WorkflowFile]:
    """The project's own workflows. The entries may be anything: links, pipes or devices."""
    try:
        # Read by descriptor below the root: a repository may have a link here that leads to a file
        # of the user's.
        names = names_beneath(repository, FOLDER, MAX_FILES)
    except FileRefused:
        return
    for name in names:
        path = repository / FOLDER / name
        if path.suffix in (".yaml", ".yml"):
            read = partial(_read_beneath, repository, f"{FOLDER}/{name}")
            yield _WorkflowFile("project", path.stem, path, read)


def _read_beneath(repository: Path, path: str) -> bytes:
    return read_beneath(repository, path, MAX_BYTES).data


def _read(path: Path) -> bytes:
    """Read one of the user's own workflows, which may be a link to where the user keeps it."""
    return read_regular_file(path, MAX_BYTES)


def _entry(file: _WorkflowFile, shadowed: Source | None) -> CatalogEntry:
    name, path = file.name, file.path
    try:
        data = file.read()
        checked = check_workflow(decode(data, str(path), "the workflow"), str(path))
    except WorkflowError as error:
        return CatalogEntry(name, file.source, path, None, str(error), shadowed=shadowed)
    except (FileRefused, OSError) as error:
        return CatalogEntry(name, file.source, path, None, f"{path}: {error}", shadowed=shadowed)
    advice = tuple(f"{path.name}:{a.line}:{a.column}: {a.message}" for a in checked.advice)
    return CatalogEntry(name, file.source, path, checked.workflow, None, data, shadowed, advice)
