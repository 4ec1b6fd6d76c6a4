"""Which workflows there are: the project's before the user's before the built-in ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import Workflow, WorkflowError
from agent_runner.workflow.source import MAX_BYTES, decode
from rover_mcp.errors import NotFound, UserFixable
from rover_mcp.tasks.identifiers import meant

Source = Literal["project", "user", "built-in"]


@dataclass(frozen=True)
class CatalogEntry:
    """One workflow file. `error` tells why it cannot be used, where it cannot."""

    name: str
    source: Source
    path: Path
    workflow: Workflow | None
    error: str | None = None


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
        found: dict[str, CatalogEntry] = {}
        for source, path in self._files(repository):
            if path.stem not in found:
                found[path.stem] = _entry(path, source)
        return [found[name] for name in sorted(found)]

    def find(self, name: str, repository: Path | None) -> CatalogEntry:
        """The workflow called `name`.

        Raises:
            NotFound: there is none.
            UserFixable: it has an error, told with file, line and column.
        """
        entry = self._named(name, repository)
        if entry is None:
            names = [e.name for e in self.entries(repository)]
            raise NotFound(
                f"there is no workflow {name[:80]!r}; there are: {', '.join(names)}",
                code="unknown_workflow",
                hint=f"{meant(name, names)}choose one of these, "
                "or put a file into .rover/workflows/",
                next_call={"tool": "list_workflows", "arguments": {}},
            )
        if entry.workflow is None:
            raise UserFixable(
                f"the workflow {name} has an error: {entry.error}",
                code="invalid_workflow",
                hint="correct the file at that line",
            )
        return entry

    def text(self, name: str, repository: Path | None) -> str:
        """A workflow's file as it is. Only one that is a valid workflow: a repository's link to
        anything else shows nothing of it.

        Raises:
            NotFound, UserFixable: as `find`.
        """
        path = self.find(name, repository).path
        with path.open("rb") as file:
            return decode(file.read(MAX_BYTES + 1), path.name, "the workflow")

    def _named(self, name: str, repository: Path | None) -> CatalogEntry | None:
        for source, path in self._files(repository):
            if path.stem == name:
                return _entry(path, source)
        return None

    def _files(self, repository: Path | None) -> Iterator[tuple[Source, Path]]:
        for source, folder in self._folders(repository):
            for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
                yield source, path

    def _folders(self, repository: Path | None) -> Iterator[tuple[Source, Path]]:
        if repository is not None:
            yield "project", repository / ".rover" / "workflows"
        yield "user", self._home / "workflows"
        yield "built-in", builtin_folder()


def _entry(path: Path, source: Source) -> CatalogEntry:
    try:
        workflow = load_workflow(path)
    except WorkflowError as error:
        return CatalogEntry(path.stem, source, path, None, str(error))
    except OSError as error:
        return CatalogEntry(path.stem, source, path, None, f"{path}: {error}")
    return CatalogEntry(path.stem, source, path, workflow)
