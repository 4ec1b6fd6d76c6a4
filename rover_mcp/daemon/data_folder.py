"""Opens the settings and the store of a data folder, which a daemon does first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from agent_runner.agents import define_agents
from rover_mcp.config.hooks import WebhookHook
from rover_mcp.config.load_settings import settings_to_serve
from rover_mcp.config.settings import Settings
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.reserve import Reserve
from rover_mcp.store.store import Store


def open_store(home: Path) -> tuple[Settings, Store]:
    """Open the settings and the store of a data folder.

    Raises:
        EnvironmentFault: it cannot be used, or a newer version wrote it.
    """
    settings = settings_to_serve(home)
    define_agents(settings.agent_programs)
    for folder in ("tasks", "projects"):
        (home / folder).mkdir(exist_ok=True)
    # SQLite needs room even to open: a disk may have filled up while no daemon ran.
    Reserve(home).make_room()
    return settings, Store(open_database(database_url(home, settings.database)))


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield what must not get into a log from the settings: the path of a webhook is its
    password."""
    for address in (urlsplit(h.url) for h in settings.hooks if isinstance(h, WebhookHook)):
        yield from (address.path, address.query)
    if settings.database:
        yield settings.database
        yield urlsplit(settings.database).password or ""
