"""Who asks: one connection's identity, working folder and allow-listed environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rover_mcp.domain.errors import UserFixable
from rover_mcp.tasks.folder_argument import as_path

KEY_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Caller:
    """A connection, as its client described it when it connected. The environment stays in memory.

    `user` is who sent the call over HTTP; None is the user of this machine, who owns what is
    created without HTTP and sees everything. `projects` are the repositories that `user` may name.
    `terminal` says that the client is the command line and that a person sits at it.
    """

    client_id: str
    cwd: Path
    name: str = "client"
    version: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    user: str | None = None
    projects: tuple[Path, ...] = ()
    terminal: bool = False

    def sees(self, owner: str | None) -> bool:
        """Whether a task of this owner exists, as far as the caller is concerned."""
        return self.user is None or owner == self.user

    def key(self, request_key: str | None) -> str | None:
        """A request key as it is stored. It contains the user, so that the keys of two users never
        collide."""
        if request_key is None or self.user is None:
            return request_key
        return f"{self.user}{KEY_SEPARATOR}{request_key}"

    def folder(self, repo_path: str | None) -> Path:
        """The folder that a call means: `repo_path`, or the folder that the caller works in.

        Raises:
            UserFixable: it is an address on the web; it begins with ~ and the name of a user who
                does not exist; or a user over HTTP named no project where there are several, or
                named one that is not theirs. The error does not reveal whether that one exists.
        """
        repo_path = as_path(repo_path) if repo_path else None
        if self.user is None:
            return self.cwd / _expanded(repo_path) if repo_path else self.cwd
        if repo_path is None and len(self.projects) == 1:
            return self.projects[0]
        for project in self.projects:
            if repo_path is not None and Path(repo_path) in (project, project.resolve()):
                return project
        known = ", ".join(map(str, self.projects)) or "none"
        what = "name a repository" if repo_path is None else "this repository is not served here"
        raise UserFixable(
            what,
            code="unknown_project",
            hint=f"give one of these as repo_path: {known} (http.projects in config.yaml)",
        )


def _expanded(repo_path: str) -> Path:
    try:
        return Path(repo_path).expanduser()
    except RuntimeError as error:
        raise UserFixable(
            f"{repo_path} is in the home folder of a user that does not exist here",
            hint="give the absolute path of the repository",
            code="not_a_directory",
        ) from error
