"""The options of a new task: the call's, with those of the project's files and of the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent_runner.workflow.agents import chosen
from rover_mcp.config.load_project import load_config
from rover_mcp.config.project import ProjectConfig
from rover_mcp.config.project_asks import narrowed
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import FOLDER, Catalog, CatalogEntry
from rover_mcp.tasks.cautions import config_left_out
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.options import ResolvedOptions, resolve_options
from rover_mcp.tasks.task_ports import Repository


def options_of_request(
    settings: Settings,
    catalog: Catalog,
    caller: Caller,
    request: CreateRequest,
    repository: Repository,
) -> tuple[ResolvedOptions, CatalogEntry]:
    """The options that count for the request, and the workflow that they name.

    Raises:
        UserFixable: the project's configuration or the workflow cannot be used, or a caller over
            HTTP asks for more than this server's configuration allows.
        NotFound: there is no such workflow.
    """
    options = _resolve(settings, catalog, request.options, repository, remote=bool(caller.user))
    if caller.user is not None:
        config = settings.home / "config.yaml"
        check_consent(caller, config, repository.root, options.wider, (), None)
    ignored = request.options.project_config == "ignore"
    entry = _entry(catalog, options.workflow, None if ignored else repository.root, request.inputs)
    own = f"{FOLDER}/{entry.path.name}" if entry.source == "project" else None
    provenance = {"ignored": ignored, "workflow_file": own}
    return replace(options, config=options.config.model_copy(update=provenance)), entry


def _resolve(
    settings: Settings,
    catalog: Catalog,
    call: TaskOptions,
    repository: Repository,
    *,
    remote: bool,
) -> ResolvedOptions:
    # A bare repository has no checkout, so it has no file that its user could have looked at.
    file = None if repository.bare else load_config(repository.root)
    if file is None or call.project_config != "ignore":
        return resolve_options(call, file, settings, remote=remote)
    harmless = replace(file, config=_without_asks(file.config, settings, catalog))
    options = resolve_options(call, harmless, settings, remote=remote)
    left_out = config_left_out(file.config, settings)
    return replace(options, warnings=[*options.warnings, *left_out])


def _without_asks(config: ProjectConfig, settings: Settings, catalog: Catalog) -> ProjectConfig:
    """The configuration without what needs consent, a workflow of the project's own included."""
    config = narrowed(config, settings)
    known = config.workflow in {entry.name for entry in catalog.entries(None)}
    return config if known else config.model_copy(update={"workflow": None})


def _entry(
    catalog: Catalog, name: str, root: Path | None, inputs: Mapping[str, str] | None
) -> CatalogEntry:
    entry = catalog.find(name, root)
    if entry.workflow:
        entry = replace(entry, workflow=chosen(entry.workflow, inputs or {}))
    return entry
