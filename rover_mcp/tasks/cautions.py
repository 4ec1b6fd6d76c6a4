"""What a person should know about a task before it begins, as its warnings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rover_mcp.config.project import FILE, ProjectConfig
from rover_mcp.config.project_asks import Ask, config_asks
from rover_mcp.config.settings import Settings
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.tasks.catalog import FOLDER, CatalogEntry
from rover_mcp.tasks.quoted_text import named, printable, quoted
from rover_mcp.tasks.task_ports import AgentProgram, Repository

ADVICE = 3
"""How many remarks about a workflow are shown at most; `rover workflow check` shows all."""
SIGN_IN = (
    "rover login stores a key, rover setup --write asks whether tasks use the login of your claude "
    "or codex, and the key's variable in the environment of an assistant or a terminal counts too"
)
PAUSES = "the task will pause at its first call of a model, and continue once there is one"
DIRTY = "the repository has uncommitted changes; they are not part of this task"


def first_cautions(engine: Engine, repository: Repository, entry: CatalogEntry) -> list[str]:
    """Warnings about the engine, the checkout and the workflow."""
    # A task begins at a commit. Many users expect their uncommitted changes to be part of it.
    cautions = [w for w in (engine.warning, DIRTY if repository.dirty else "") if w]
    if entry.source == "project" and entry.shadowed:
        file = named(f"{FOLDER}/{entry.path.name}")
        cautions.append(
            f"workflow {entry.name}: the project's {file}, not the {entry.shadowed} one"
        )
    if entry.source != "built-in":
        cautions += [f"workflow {printable(advice, 300)}" for advice in entry.advice[:ADVICE]]
    return cautions


def agent_cautions(agents: Mapping[str, AgentProgram], keyless: Sequence[str]) -> list[str]:
    """Warnings about the agents that may work on a task. `keyless` ones have nothing to sign in
    with."""
    cautions = [
        f"{agent} {program.version} is fetched with npm before it starts: {program.size}, "
        "once for all tasks"
        for agent, program in agents.items()
        if program.source == "npm" and program.size
    ]
    return [*cautions, *(f"{no_key(agent)}: {PAUSES}: {SIGN_IN}" for agent in keyless)]


def no_key(agent: str) -> str:
    """The beginning of the warning about an agent that has nothing to sign in with."""
    return f"there is no key or login for {agent}"


def config_left_out(config: ProjectConfig, settings: Settings) -> list[str]:
    """Warnings about a configuration that is ignored because the call asked for that."""
    asks = config_asks(config, settings)
    left_out = "; ".join(quoted(ask.shown, 200) for ask in asks)
    return [f"{FILE}: left out, as the call asked: {left_out}"] if left_out else []


def setup_left_out(root: Path, asks: Sequence[Ask]) -> str:
    """The warning about a setup that is left out because no one has trusted it."""
    left_out = "; ".join(quoted(ask.shown, 200) for ask in asks)
    return (
        f"the repository's setup was left out because it is not trusted: {left_out}. To allow it "
        f"for future tasks, the user runs: rover trust {root}; or names the repository under "
        "trusted_projects in config.yaml"
    )
