"""What a person should know of a task before it begins, as its warnings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rover_mcp.project.asks import Ask, config_asks
from rover_mcp.project.config import FILE, ProjectConfig
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.settings import Settings
from rover_mcp.tasks.catalog import FOLDER, CatalogEntry
from rover_mcp.tasks.pauses import printable
from rover_mcp.tasks.ports import Repository

DIRTY = "the repository has uncommitted changes; they are not part of this task"


def first_cautions(engine: Engine, repository: Repository, entry: CatalogEntry) -> list[str]:
    """What the engine, the checkout and the workflow give cause for."""
    found = [w for w in (engine.warning, DIRTY if repository.dirty else "") if w]
    if entry.source == "project" and entry.shadowed:
        file = f"{FOLDER}/{entry.path.name}"
        found.append(f"workflow {entry.name}: the project's {file}, not the {entry.shadowed} one")
    return found


def config_left_out(config: ProjectConfig, settings: Settings) -> list[str]:
    """What is said of a configuration that is ignored."""
    asks = config_asks(config, settings)
    told = "; ".join(printable(ask.shown, 200) for ask in asks)
    return [f"{FILE}: left out, as the call asked: {told}"] if told else []


def setup_left_out(root: Path, asks: Sequence[Ask]) -> str:
    """What is said of a set-up that nobody has trusted, and that the task goes without."""
    told = "; ".join(printable(ask.shown, 200) for ask in asks)
    return (
        f"the repository's set-up was left out, for nobody has trusted it: {told}. To allow it for "
        f"the tasks to come, the user runs: rover trust {root}; or names the repository under "
        "trusted_projects in config.yaml"
    )
