"""The places of a task's files in the data folder. Paths only: nothing here touches a disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


# `run` and `spec` are per iteration, since a new iteration has a journal of its own.
@dataclass(frozen=True)
class TaskFolders:
    """tasks/<id>/{input,work,home,base,gateway}, tasks/<id>/iterations/<n>/{run,spec-<attempt>}."""

    home: Path
    task_id: str
    iteration: int

    @property
    def root(self) -> Path:
        return self.home / "tasks" / self.task_id

    @property
    def input(self) -> Path:
        """What the caller gave: workflow.yaml and, for the scripted agent, script.yaml."""
        return self.root / "input"

    @property
    def names(self) -> Path:
        """What commits of the base are called in the user's repository (git/clone_refs.py)."""
        return self.root / "input" / "names"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def agent_home(self) -> Path:
        return self.root / "home"

    @property
    def packages(self) -> Path:
        """Packages on their way into or out of a HOME that the engine keeps."""
        return self.root / "packages"

    @property
    def base_objects(self) -> Path:
        """The objects of the base commit, which the task's sandboxes borrow."""
        return self.root / "base" / "objects"

    @property
    def gateway_socket(self) -> Path:
        return self.root / "gateway" / "gateway.sock"

    @property
    def run(self) -> Path:
        return self.root / "iterations" / str(self.iteration) / "run"

    @property
    def preparation(self) -> Path:
        """Logs of what was prepared on this machine before the sandbox existed."""
        return self.root / "iterations" / str(self.iteration) / "preparation"

    @property
    def journal(self) -> Path:
        return self.run / "journal.jsonl"

    @property
    def pause_request(self) -> Path:
        return self.run / "pause-requested"

    @property
    def accepted(self) -> Path:
        """Holds the commit that a person accepted as the iteration's result."""
        return self.root / "iterations" / str(self.iteration) / "accepted"

    @property
    def rebases(self) -> Path:
        """What rebases of the iteration's result added (store/rebase_notes.py)."""
        return self.root / "iterations" / str(self.iteration) / "rebases"

    @property
    def resolutions(self) -> Path:
        """How conflicts of the task's branch were resolved (store/resolutions.py)."""
        return self.root / "resolutions"

    def spec(self, attempt: int) -> Path:
        return self.root / "iterations" / str(self.iteration) / f"spec-{attempt}"


def project_resolutions(home: Path, project_id: str) -> Path:
    """Resolutions of conflicts that a person has agreed to, in any task of a project."""
    return project_folder(home, project_id) / "resolutions"


def project_folder(home: Path, project_id: str) -> Path:
    """The folder of a project's hub."""
    return home / "projects" / project_id


def warm_sandbox_markers(home: Path) -> Path:
    """The folder with a file for each sandbox that waits for a task, named by the task's id."""
    return home / "spares"
