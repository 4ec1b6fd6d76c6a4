"""The values that may not leave with a task's work: the keys that the gateway holds, and the files
of the user's checkout that the project had copied into the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from agent_runner.agents import agent_provider
from agent_runner.worktree.local_files import FILE_NAME, load_copies
from rover_mcp.control.sandbox_spec import own_model
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.redaction import SECRETS
from rover_mcp.daemon.remembered import Remembered
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.secret_hiding import hide_secrets
from rover_mcp.domain.secret_search import (
    COPIED_FILE,
    GATEWAY_KEY,
    KnownValues,
    SecretMatch,
    values_of_file,
)
from rover_mcp.git.outgoing import is_clean, search_for_secrets
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.store.records import TaskRow


class TaskSecrets:
    """Knows the secrets of tasks and searches what leaves for them, the same commits for the same
    secrets only once."""

    def __init__(self, home: Path, credentials: Credentials) -> None:
        self._home = home
        self._credentials = credentials
        self._clean = Remembered[tuple[Path, str, str, bytes], bool]()
        self._searched = Remembered[tuple[Path, str, tuple[str, ...], bytes], list[SecretMatch]]()

    def search(
        self, view: RepositoryView, task: TaskRow, tip: str, there: Sequence[str]
    ) -> list[SecretMatch]:
        """The secrets in what `tip` reaches and none of the commits `there`, which the other side
        has.

        Raises:
            UserFixable, EnvironmentFault: it cannot be searched, so it must not leave.
        """
        known = self.known(task)
        if task.base_commit in there and self._is_clean(view, task, tip, known):
            return []
        key = (view.place.common, tip, tuple(there), known.digest)
        return self._searched.get(key, lambda: search_for_secrets(view, tip, there, known))

    def _is_clean(self, view: RepositoryView, task: TaskRow, tip: str, known: KnownValues) -> bool:
        """Whether all that `tip` adds to the task's base is seen to have no secret. Then what goes
        to any branch or remote has none, and the previews of both need a single search."""
        if task.onto:
            return False  # rebased: that is mostly what came to the new base meanwhile
        base = task.base_commit
        key = (view.place.common, tip, base, known.digest)
        with suppress(EnvironmentFault):
            return self._clean.get(key, lambda: is_clean(view, tip, [base], known))
        return False

    def known(self, task: TaskRow) -> KnownValues:
        """
        Raises:
            EnvironmentFault: the copied files cannot be read ("search_failed").
        """
        values = {GATEWAY_KEY: [*SECRETS.values(), *self._keys(task)]}
        for path, content in self._copied(task):
            values[f"{COPIED_FILE}{path}"] = values_of_file(content)
        return KnownValues(values)

    def hider(self, task: TaskRow) -> Callable[[str], str]:
        """What takes the secrets of a task out of a text.

        Raises:
            EnvironmentFault: see `known`.
        """
        return partial(hide_secrets, known=self.known(task))

    def _keys(self, task: TaskRow) -> list[bytes]:
        """The keys of the task's provider, which may not have been read since the daemon began."""
        provider = agent_provider(task.agent, own_model(task)) if task.agent else None
        values: list[bytes] = []
        if provider is not None:
            with suppress(EnvironmentFault):
                for access in self._credentials.accesses(provider, task, None, of_call=True):
                    values.append(access.header_value.rpartition(" ")[2].encode())
        return values

    def _copied(self, task: TaskRow) -> list[tuple[str, bytes]]:
        folder = TaskFolders(self._home, task.id, task.iteration).input
        if not (folder / FILE_NAME).exists():
            return []
        try:
            return [(copy.path, copy.data) for copy in load_copies(folder)]
        except (OSError, ValidationError) as error:
            raise EnvironmentFault(
                "what leaves cannot be searched for secrets: the files that were copied into the "
                f"sandbox cannot be read: {type(error).__name__}",
                code="search_failed",
            ) from error
