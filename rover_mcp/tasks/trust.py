"""Records who has consented to what a project asks for, by the digest of the content, in the data
folder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_runner.atomic_write import replace_file
from rover_mcp.config.load_project import load_config
from rover_mcp.config.project import ProjectConfig
from rover_mcp.config.project_asks import Ask, config_asks, digest_of_all, setup_asks, workflow_ask
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import Origin, TaskConfig
from rover_mcp.config.user_maximum import PROCESS
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.tasks.catalog import FOLDER, Catalog, CatalogEntry
from rover_mcp.tasks.options import ResolvedOptions
from rover_mcp.tasks.task_ports import Repositories, Repository

FILE = "trust.json"
KEPT = 10
"""How many consents are kept for a project: its branches may ask for different things."""


class _Consented(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    shown: str
    digest: str


class _Consent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    at: datetime
    asks: tuple[_Consented, ...]

    def covers(self, asks: Sequence[Ask]) -> bool:
        # By digest: the same name with another content has not been consented to. A consent to more
        # covers less, too.
        return {(a.name, a.digest) for a in asks} <= {(a.name, a.digest) for a in self.asks}


class _ConsentFile(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    projects: dict[str, tuple[_Consent, ...]] = {}
    """by root, the newest first"""


@dataclass(frozen=True)
class AskView:
    """One thing that a project asks for, and whether a person has consented to it. `before` is what
    it was when a person did."""

    name: str
    shown: str
    state: Literal["trusted", "new", "changed"]
    before: str | None = None

    @property
    def line(self) -> str:
        if self.state != "changed":
            return self.shown
        same = self.before == self.shown
        return f"{self.shown} (changed{'' if same else f'; it was: {self.before}'})"


@dataclass
class ConsentStore:
    """The file with the consents. If it cannot be read, it counts as empty."""

    home: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def views(self, root: Path, asks: Sequence[Ask]) -> list[AskView]:
        """Each thing with what is known about it. They are all trusted only where one consent
        covers all of them: consents that were given at different times are not combined."""
        consents = self._read().projects.get(str(root), ())
        # A person who agreed to a command on Monday and to an open network on Friday never agreed
        # to that command with that network.
        if any(consent.covers(asks) for consent in consents):
            return [AskView(ask.name, ask.shown, "trusted") for ask in asks]
        known = {ask.name: ask for ask in consents[0].asks} if consents else {}
        return [_view(ask, known.get(ask.name)) for ask in asks]

    def write(self, root: Path, asks: Sequence[Ask]) -> None:
        """Record that a person consents to all of this together.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        # The digest is what counts later; the text is kept to show what a change was from.
        given = tuple(_Consented.model_validate(vars(ask)) for ask in asks)
        with self._lock:
            consent = _Consent(at=datetime.now(UTC), asks=given)
            # Older consents stay, so that changing between two branches does not ask again each
            # time.
            old = (c for c in self._read().projects.get(str(root), ()) if c.asks != given)
            self._change(root, (consent, *old)[:KEPT])

    def knows(self, root: Path) -> bool:
        """Whether a person has consented to anything of this project."""
        return str(root) in self._read().projects

    def forget(self, root: Path) -> bool:
        """Forget the project's consents; whether there were any. Raises as `write`."""
        with self._lock:
            known = str(root) in self._read().projects
            if known:
                self._change(root, ())
            return known

    def _change(self, root: Path, consents: tuple[_Consent, ...]) -> None:
        projects = {k: v for k, v in self._read().projects.items() if k != str(root)}
        if consents:
            projects[str(root)] = consents
        try:
            text = _ConsentFile(projects=projects).model_dump_json(indent=2)
            replace_file(self.home / FILE, f"{text}\n", mode=0o600, durable=True)
        except OSError as error:
            raise EnvironmentFault(
                f"{self.home / FILE} cannot be written: {error}",
                hint="check that the data folder is writable and its disk not full",
                code="data_folder",
            ) from error

    def _read(self) -> _ConsentFile:
        try:
            return _ConsentFile.model_validate_json((self.home / FILE).read_bytes())
        # Nothing is trusted then, and the user is asked again: the safe side.
        except (OSError, ValidationError):
            return _ConsentFile()


def _view(ask: Ask, known: _Consented | None) -> AskView:
    if known is None:
        return AskView(ask.name, ask.shown, "new")
    # Trusted before, but together with other things, so the user sees that this one is unchanged.
    if known.digest == ask.digest:
        return AskView(ask.name, ask.shown, "trusted")
    return AskView(ask.name, ask.shown, "changed", known.shown)


@dataclass
class ProjectTrust:
    """What a repository asks for, read from its checkout and from the commit that a task starts
    from."""

    settings: Settings
    catalog: Catalog
    repositories: Repositories
    consents: ConsentStore

    def all_asks(self, repository: Repository, commit: str) -> list[Ask]:
        """Everything that any task of this commit would need consent for.

        Raises:
            UserFixable: the configuration or the devcontainer cannot be used.
        """
        file = None if repository.bare else load_config(repository.root)
        config = file.config if file else ProjectConfig()
        asks = config_asks(config, self.settings)
        use = config.devcontainer or self.settings.devcontainer
        asks += setup_asks(self.repositories.files(repository, commit), config.setup, use)
        own = (e for e in self.catalog.entries(repository.root) if e.source == "project")
        return [*asks, *(_workflow(entry) for entry in own if entry.workflow)]

    def needed(
        self,
        repository: Repository,
        commit: str,
        options: ResolvedOptions,
        entry: CatalogEntry,
        engine: str,
    ) -> list[Ask]:
        """What one task needs consent for. A workflow that the call names, and that stands for no
        other, is the caller's choice, except where it would run on this machine itself."""
        config = options.config
        asks = list(options.asks)
        if not config.ignored:
            files = self.repositories.files(repository, commit)
            image = self._has_image(config)
            asks += setup_asks(files, config.setup, config.devcontainer, engine, image)
        chosen = config.origins.get("workflow") is Origin.CALL and entry.shadowed is None
        if entry.source == "project" and not (chosen and engine != PROCESS):
            asks.append(_workflow(entry))
        return asks

    def _has_image(self, config: TaskConfig) -> bool:
        return config.image is not None or "base_image" in self.settings.model_fields_set

    def missing(
        self, repository: Repository, commit: str, needed: Sequence[Ask]
    ) -> tuple[list[AskView], list[Ask]]:
        """What no one has consented to, of what is `needed`; and, where that is not empty,
        everything that there is to consent to."""
        root = repository.root
        views = [view for view in self.consents.views(root, needed) if view.state != "trusted"]
        # A line of config.yaml is consent in advance, for machines at which no one can be asked.
        lines = [line for line in self.settings.trusted_projects if line.path.resolve() == root]
        if not views or any(line.digest is None for line in lines):
            return [], []
        every = self.all_asks(repository, commit)
        if any(line.digest == digest_of_all(every) for line in lines):
            return [], []
        # A call may let more of the devcontainer count than the project does by itself.
        known = {(ask.name, ask.digest) for ask in every}
        return views, [*every, *(a for a in needed if (a.name, a.digest) not in known)]

    def can_do_without(
        self, repository: Repository, commit: str, needed: Sequence[Ask]
    ) -> list[Ask]:
        """The setup, where it is the only thing without consent; otherwise nothing."""
        # A setup only prepares the sandbox. Without it the task is narrower than it was asked for,
        # never wider.
        rest = [ask for ask in needed if not ask.preparing]
        views, _ = self.missing(repository, commit, rest)
        return [] if views else [ask for ask in needed if ask.preparing]


def _workflow(entry: CatalogEntry) -> Ask:
    return workflow_ask(entry.name, f"{FOLDER}/{entry.path.name}", entry.data, entry.shadowed)
