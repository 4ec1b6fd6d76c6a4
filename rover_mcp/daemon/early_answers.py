"""Answers the first question to a new daemon before the modules that serve clients are imported.

Whoever starts a daemon for a single question says so (handshake.ASKED), and sends the question with
its preamble. It is answered if the store alone can answer it. Otherwise the connection is closed,
and the client connects again to the complete daemon.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp import __version__
from rover_mcp.config.settings import Settings
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.project_registry import ProjectRegistry
from rover_mcp.daemon.socket_peer import caller_of, peer_of
from rover_mcp.domain.errors import RoverError
from rover_mcp.launcher.handshake import MAX_PREAMBLE_BYTES, PROTOCOL, TOOLS, socket_path
from rover_mcp.server.allowed_calls import drop_refused_calls
from rover_mcp.server.arguments import ListTasksArguments
from rover_mcp.server.brief_results import brief
from rover_mcp.server.pages import task_list
from rover_mcp.server.pending_events import unseen_events
from rover_mcp.server.session import ClientSession
from rover_mcp.store.damaged_records import NONSENSE
from rover_mcp.store.records import Limit, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.task_reader import TaskReader
from rover_mcp.tasks.view_models import NextAction

if TYPE_CHECKING:
    from rover_mcp.daemon.credentials import Credentials

WAIT_SECONDS = 5.0
"""Seconds for the client to connect, and for its preamble: it tries every few milliseconds."""

BACKLOG = 128
"""The number of clients that can wait until the daemon serves; others try again."""

log = logging.getLogger("rover.daemon")


class NeedsFullDaemon(Exception):
    """Only the complete daemon can answer."""


def answer_first(settings: Settings, store: Store) -> socket.socket | None:
    """Answer the question of the client that started this daemon, if the store alone can.

    Returns the listening socket, if there can be one: clients that connect from now on wait until
    the daemon serves.
    """
    listener = None
    try:
        listener = _listening(socket_path(settings.home))
        connection, _ = listener.accept()
        with connection:
            _meet(connection, settings, store)
    except (NeedsFullDaemon, RoverError, SQLAlchemyError, OSError, *NONSENSE) as error:
        log.info("the first question is left to the complete daemon: %s", error)
    return listener


def _listening(path: Path) -> socket.socket:
    # The lock of the data folder is held, so that a socket here is left from an earlier daemon.
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old)
    listener.listen(BACKLOG)
    listener.settimeout(WAIT_SECONDS)
    return listener


def _meet(connection: socket.socket, settings: Settings, store: Store) -> None:
    peer = peer_of(connection)
    connection.settimeout(WAIT_SECONDS)
    line = _line(connection)
    caller = caller_of(line)
    if not peer.ours or peer.reason or isinstance(caller, str) or caller.version != __version__:
        raise NeedsFullDaemon("its caller is not served so")
    result, session = answer(settings, store, caller, json.loads(line).get("asks"))
    hello = {"rover": PROTOCOL, "version": __version__, "status": "ok", "answered": True}
    lines = (json.dumps(part).encode() + b"\n" for part in (hello, {"result": result}))
    connection.sendall(b"".join(lines))
    log.info("the first question is answered")
    _acknowledge(store, session)


def _line(connection: socket.socket) -> bytes:
    received = b""
    while b"\n" not in received:
        data = connection.recv(1 << 16)
        if not data or len(received) > MAX_PREAMBLE_BYTES:
            raise NeedsFullDaemon("its preamble is incomplete")
        received += data
    return received.partition(b"\n")[0]


def answer(
    settings: Settings, store: Store, caller: Caller, asks: Any
) -> tuple[dict[str, Any], ClientSession]:
    """Return what list_tasks gives as structured content, and the session that receives its news.

    Raises:
        NeedsFullDaemon: another question was asked, or a task runs, of which the store does not
            know everything.
        RoverError, SQLAlchemyError, OSError, NONSENSE: it cannot be answered so.
    """
    if asks is None or asks["tool"] != "list_tasks" or caller.env.get(TOOLS):
        raise NeedsFullDaemon("another question")
    given = ListTasksArguments.model_validate(asks["arguments"])
    tasks, session = _Recorded(settings, store, caller), ClientSession(caller, _push)
    page = tasks.list(
        caller, given.status, given.repo_path, given.cursor, given.limit,
        here=not given.all_projects,
    )  # fmt: skip
    result = task_list(*page)
    news = unseen_events(store, session, settings.attention_limit)
    result.attention = [*tasks.event_views(news.events, caller)]
    result.attention_more = news.more or None
    drop_refused_calls(result, _works)
    brief(result)
    session.report(news, time.monotonic())
    return result.model_dump(mode="json", exclude_none=True), session


def _push(_method: str, _params: dict[str, Any]) -> None:
    """Nothing is pushed to a session of one answer."""


def _works(call: NextAction) -> bool:
    if "agent" in call.arguments:
        raise NeedsFullDaemon("whether an agent can sign in")
    return True


def _acknowledge(store: Store, session: ClientSession) -> None:
    arrived = session.arrived()
    store.events.acknowledge([event for event, _ in arrived])
    store.events.record_reported([(event.seq, channel) for event, channel in arrived], time.time())


def _unknown(_task_id: str) -> NoReturn:
    raise NeedsFullDaemon("what a task does now")


class _Recorded(TaskReader):
    """Reads tasks while none of them runs."""

    def __init__(self, settings: Settings, store: Store, caller: Caller) -> None:
        self.settings = settings
        self.store = store
        self.repositories = GitRepositories(
            settings.home, ProjectRegistry(settings.home, store).project_path
        )
        self.live = self.stalled = _unknown
        self.now = time.time
        self.account_name = self._name_of
        self._caller = caller

    @cached_property
    def _credentials(self) -> Credentials:
        # Imported here, because few lists need it and it takes a while.
        from rover_mcp.daemon.credentials import Credentials

        credentials = Credentials(self.settings)
        credentials.remember(self._caller)
        return credentials

    def _name_of(self, label: str) -> str:
        return self._credentials.account_name(label)

    def login_expiry(self, task: TaskRow) -> str | None:
        account = Limit.of(task.account).account if task.account else None
        if account is not None and self._credentials.expiry(account) is not None:
            raise NeedsFullDaemon("when a login ends")
        return None
