"""What a task is made of once its request is understood, and what of it a person has to allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from agent_runner.workflow.agents import agents_of
from rover_mcp.config.settings import Settings
from rover_mcp.config.user_maximum import for_each, wider_script
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import CatalogEntry
from rover_mcp.tasks.cautions import setup_left_out
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.options import ResolvedOptions
from rover_mcp.tasks.stacked_base import StackedBase
from rover_mcp.tasks.task_ports import Repository
from rover_mcp.tasks.trust import ProjectTrust


@dataclass(frozen=True)
class TaskParts:
    """What a request names, looked up and checked, before anybody's consent is needed."""

    repository: Repository
    commit: str
    options: ResolvedOptions
    entry: CatalogEntry
    inputs: dict[str, str]
    engine: Engine
    binary: Path | None
    """the program of the first agent on this host"""
    unpriced: list[str]
    """warnings about models without a known price"""
    base: StackedBase

    @property
    def agents(self) -> list[str]:
        return self.options.agents

    def agents_in_steps(self) -> set[str]:
        """The task's agents, and those that steps of its workflow name."""
        workflow, agents = self.entry.workflow, set(self.agents)
        if workflow:
            agents |= {a for name in self.agents for a, _ in agents_of(workflow, name, None)}
        return agents


def allowed_options(
    settings: Settings,
    trust: ProjectTrust,
    caller: Caller,
    request: CreateRequest,
    parts: TaskParts,
) -> ResolvedOptions:
    """The options as a person has allowed them: all that goes beyond the user's own configuration;
    or without the setup, where only that lacks a consent, and no one there can give it.

    Raises:
        NeedsConsent, UserFixable: no one has.
    """
    options, repository, commit = parts.options, parts.repository, parts.commit
    wider = [*options.wider, *wider_script(parts.agents_in_steps(), parts.engine.name, settings)]
    wider = for_each(wider, request.racers)
    needed = trust.needed(repository, commit, options, parts.entry, parts.engine.name)
    missing, every = trust.missing(repository, commit, needed)
    setup = trust.can_do_without(repository, commit, needed) if missing else []
    if setup and not wider and (request.unasked or caller.user is not None):
        config = options.config.model_copy(update={"without_setup": True})
        warnings = [*options.warnings, setup_left_out(repository.root, setup)]
        return replace(options, config=config, warnings=warnings)
    check_consent(
        caller,
        settings.home / "config.yaml",
        repository.root,
        wider,
        missing,
        request.consent,
        can_do_without=bool(setup) and not wider,
    )
    if missing:
        trust.consents.write(repository.root, every)
    return options
