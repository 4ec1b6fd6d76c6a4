"""Runs the daemon, one per user and data folder: it serves connections and runs the control plane.

Work continues when every client is gone. The daemon ends when nothing is connected, running or
scheduled. Killing it at any moment loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import anyio
import anyio.to_thread
from anyio.abc import (
    ByteStream,
    SocketStream,
    TaskGroup,
)
from anyio.from_thread import BlockingPortal
from anyio.streams.buffered import BufferedByteReceiveStream
from sqlalchemy.exc import SQLAlchemyError

from rover_mcp import __version__
from rover_mcp.config import client_programs
from rover_mcp.config.load_settings import have_changed
from rover_mcp.config.settings import Settings
from rover_mcp.daemon.backup_archive import DATABASE
from rover_mcp.daemon.connections import ClientConnections, busy_notice
from rover_mcp.daemon.credential_watch import CredentialWatchLoop
from rover_mcp.daemon.daemon_lock import is_lost
from rover_mcp.daemon.daemon_log import end_log
from rover_mcp.daemon.glance_copy import GlanceCopy
from rover_mcp.daemon.heartbeat import Heartbeat, beat, end_process
from rover_mcp.daemon.jsonrpc_stream import message_streams, push
from rover_mcp.daemon.stdio import StandardStreams
from rover_mcp.daemon.wiring import DaemonParts, build
from rover_mcp.domain.attempt_state import BY_ITSELF
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.launcher.glance import COPY
from rover_mcp.launcher.handshake import (
    HTTP,
    allowed_environment,
)
from rover_mcp.server.session import Backlog, ClientSession
from rover_mcp.store.damaged_records import NONSENSE
from rover_mcp.store.reserve import Reserve
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller

if TYPE_CHECKING:
    from anyio.abc import UNIXSocketStream

    from rover_mcp.daemon.http_service import HttpService

log = logging.getLogger("rover.daemon")

TRY_AGAIN_SECONDS = 1.0
TIDY_SECONDS = 2.0
"""Seconds for the gateway's usage records and the waiting sandboxes, when a signal asks to end. The
sandboxes would also end on their own, a while later."""
HTTP_SECONDS = 5.0
"""Seconds for the last frames of streams over HTTP, when a signal asks to end."""
LOOK_SECONDS = 4.0
"""Seconds between two checks whether something is left to do and the data folder is there."""
TROUBLE = (RoverError, SQLAlchemyError, OSError, *NONSENSE)
"""The errors of a full or read-only disk, of a database that is gone, and of a damaged record."""


class Daemon:
    """Everything that runs while the lock is held."""

    def __init__(
        self, settings: Settings, store: Store, lock: int, listener: socket.socket | None = None
    ) -> None:
        """`listener` is a socket that listens already, if the launcher asked for one."""
        self._settings = settings
        self._lock = lock
        self._store = store
        self._parts: DaemonParts
        self._group: TaskGroup
        self._clients = ClientConnections(
            settings.home, listener, self._serve_client, self._outdated, self._give_way
        )
        self._alive = Heartbeat()
        self._services: set[HttpService] = set()
        self._rung: set[str] = set()
        self._eager_until = 0.0
        self._reserve = Reserve(settings.home)
        if not settings.database:
            # With PostgreSQL the records are on another disk, which room that is held back here
            # does not help.
            self._reserve.serve(str(settings.home / DATABASE))

    async def serve(self) -> None:
        """Run until nothing is left to do, or a signal asks to end."""
        async with self._running() as group:
            group.start_soon(self._vital, self._accept)
            group.start_soon(self._vital, self._end_when_idle)
            group.start_soon(self._vital, self._end_when_lost)

    async def serve_stdio(self) -> None:
        """Serve one client on stdin and stdout until it leaves, without a socket."""
        env = allowed_environment(os.environ)
        # There is no launcher that would send a preamble, so this process's own folder and
        # environment are the client's.
        caller = Caller(secrets.token_hex(16), Path.cwd(), "foreground", __version__, env)
        stream = StandardStreams()
        async with self._running():
            await self._serve(stream, BufferedByteReceiveStream(stream), caller)
            self._end("the client left")

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[TaskGroup]:
        """Build the parts and start their work. They end with the process: see `_end`."""
        async with BlockingPortal() as portal, anyio.create_task_group() as group:
            self._group = group
            self._parts = parts = build(
                self._settings, self._store, portal, self._ring, self._notice, self._touch
            )
            broadcaster = parts.broadcaster
            loop = asyncio.get_running_loop()
            files, renew = parts.credentials.files, parts.renewals.renew_in_a_thread
            watch = CredentialWatchLoop(self._store, parts.plane, files, renew)
            parts.credentials.on_news = partial(loop.call_soon_threadsafe, watch.wake)
            broadcaster.on_wake = parts.hooks.wake
            glances = self._glances()
            # Events are written in any thread; the broadcaster lives on the loop.
            self._store.database.on_event = partial(loop.call_soon_threadsafe, broadcaster.wake)
            for work in (
                self._broadcast_events, self._run_hooks, self._start_plane, self._end_on_signal,
                partial(watch.run, self._harmlessly),
                partial(beat, self._alive),
                *([glances.run] if glances else []),
            ):  # fmt: skip
                group.start_soon(self._vital, work)
            yield group

    def _glances(self) -> GlanceCopy | None:
        """Start to keep a copy for status lines if the store is not in the data folder."""
        if not self._settings.database:
            # A copy of a time when the store was elsewhere would be shown instead of the store.
            (self._settings.home / COPY).unlink(missing_ok=True)
            return None
        glances = GlanceCopy(self._settings.home, self._store.glanced)
        broadcaster, hooks = self._parts.broadcaster, self._parts.hooks

        def wake() -> None:
            hooks.wake()
            glances.wake()

        broadcaster.on_wake = wake
        return glances

    async def _vital(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run work that is never over. If it ends, the process ends at once: unwinding waits for
        threads, and meanwhile the lock would be held by a daemon that does not serve."""
        try:
            await work()
        except Exception:
            log.exception("a part of the daemon failed")
        end_process()

    def _end(self, why: str) -> NoReturn:
        """End the process at once. The next daemon recovers what is in flight; sandboxes continue.

        Unwinding instead would fail the steps of attempts that are being followed.
        """
        log.info("ending: %s", why)
        self._store.checkpoint()
        end_log()
        # Not sys.exit, which would wait for threads, such as those that follow sandboxes for hours.
        os._exit(0)

    async def _start_plane(self) -> None:
        parts = self._parts
        while not await self._harmlessly(parts.plane.start, parts.attempts):  # noqa: ASYNC110  # no event tells that a disk has space
            await anyio.sleep(TRY_AGAIN_SECONDS)
        if self._settings.database:
            threading.Thread(target=parts.leases.keep_renewing, daemon=True).start()
        await self._harmlessly(parts.warm_pool.recover)
        # On its own: whether a push that was cut off has arrived only its remote knows, and tasks
        # need not wait for its answer.
        self._group.start_soon(self._harmlessly, parts.operations.settle)
        while True:
            await self._harmlessly(self._sweep)
            await anyio.sleep(self._settings.sweep_interval)

    def _sweep(self) -> None:
        # In this order: attempts that have no workflow get one before the sandboxes without an
        # attempt are removed.
        self._parts.plane.reconcile()
        self._parts.sweeper.sweep()
        self._parts.garbage.sweep()
        self._parts.work_trees.sweep()
        self._parts.trash_expiry.sweep()
        self._parts.unfinished.sweep()
        self._parts.trash.sweep()
        self._reserve.fill()
        self._parts.plane.enqueue_unblocked()

    async def _broadcast_events(self) -> None:
        broadcaster = self._parts.broadcaster
        while True:
            try:
                await broadcaster.run()
            except TROUBLE as error:
                log.warning("news cannot be read; trying again: %s", error)
            await anyio.sleep(TRY_AGAIN_SECONDS)
            broadcaster.wake()

    async def _run_hooks(self) -> None:
        while True:
            try:
                await self._parts.hooks.run()
            except* TROUBLE as errors:
                log.warning("hooks cannot be run; trying again: %s", errors.exceptions[0])
            await anyio.sleep(TRY_AGAIN_SECONDS)

    async def _harmlessly(self, work: Callable[..., object], *args: object) -> bool:
        """Do work in a thread. A full disk or a broken database must not end the daemon: it is
        logged, and False is returned."""
        try:
            await anyio.to_thread.run_sync(partial(work, *args))
        except TROUBLE as error:
            log.warning("%s failed and is repeated: %s", work.__name__, error)
            return False
        return True

    # Bells

    def _ring(self, task_id: str) -> None:
        """Read the journal of a runner that rang. Rings that come meanwhile count as one."""
        if task_id not in self._rung:
            # A runner rings at every record. Reading the journal once covers all of them.
            self._rung.add(task_id)
            self._group.start_soon(self._refresh, task_id)

    async def _refresh(self, task_id: str) -> None:
        self._rung.discard(task_id)
        try:
            await self._harmlessly(self._parts.live.refresh, task_id)
        except Exception:  # what is wrong with one task must not end the others
            log.exception("the journal of task %s could not be followed", task_id)

    def _touch(self) -> None:
        """Poll the queue often for a while, because a client connected or called."""
        was, self._eager_until = (
            self._eager_until,
            anyio.current_time() + self._settings.queue_eager,
        )
        if was < anyio.current_time():
            self._group.start_soon(self._set_eager)

    async def _set_eager(self) -> None:
        plane = self._parts.plane
        await self._harmlessly(plane.set_eager, True)
        while (left := self._eager_until - anyio.current_time()) > 0:  # noqa: ASYNC110  # the time may be extended meanwhile
            await anyio.sleep(left)
        await self._harmlessly(plane.set_eager, False)

    # Connections

    async def _accept(self) -> None:
        await self._clients.accept(self._group)

    async def _serve_client(
        self, stream: SocketStream, buffered: BufferedByteReceiveStream, caller: Caller
    ) -> None:
        if caller.name == HTTP:
            await self._serve_http(stream, caller)
        else:
            await self._serve(stream, buffered, caller)

    async def _serve(
        self, stream: ByteStream, buffered: BufferedByteReceiveStream, caller: Caller
    ) -> None:
        max_frame = self._settings.max_frame_bytes
        async with message_streams(stream, buffered, max_frame) as (read, write):
            await self._serve_streams(read, write, caller)

    async def _serve_http(self, stream: SocketStream, caller: Caller) -> None:
        """Serve HTTP for a foreground process, until it leaves."""
        from rover_mcp.daemon.http_service import HttpService

        service = HttpService(self._parts, caller)
        self._services.add(service)
        try:
            await service.run(cast("UNIXSocketStream", stream))
        finally:
            self._services.discard(service)

    async def _serve_streams(self, read: Any, write: Any, caller: Caller) -> None:
        """Serve one client's messages until it leaves."""
        parts = self._parts
        parts.credentials.remember(caller)
        client_programs.remember(caller.env.get("PATH"), caller.cwd)
        self._touch()
        backlog = Backlog()
        session = ClientSession(caller, backlog.push)
        server = parts.app.server_for(session)
        parts.broadcaster.sessions.add(session)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(backlog.run, partial(push, write.clone()))
                await server.run(read, write, server.create_initialization_options())
                group.cancel_scope.cancel()
            await parts.broadcaster.leave(session)
        finally:
            parts.broadcaster.sessions.discard(session)

    # Life

    def _outdated(self, caller: Caller) -> str | None:
        """Why a new daemon would serve this caller differently; None: it would not."""
        if caller.version not in ("", __version__):
            return f"you have version {caller.version}, the daemon is {__version__}"
        if have_changed(self._settings):
            return "config.yaml has changed since the daemon read it"
        return None

    def _notice(self, caller: Caller) -> str | None:
        wrong = self._settings.wrong
        if wrong and not have_changed(self._settings):
            return (
                f"{wrong}. Existing tasks continue with the settings as they were; no new "
                "one is created until it is corrected"
            )
        return busy_notice(self._outdated(caller))

    async def _give_way(self, why: str, farewell: Callable[[], Awaitable[None]]) -> None:
        """End for a new daemon, unless something is connected or at work."""
        # A daemon that read a wrong config.yaml refuses to create tasks. It leaves those that only
        # wait to the next daemon.
        at_work = partial(self._has_work, waiting=not self._settings.wrong)
        if self._clients.served or await anyio.to_thread.run_sync(at_work):
            return
        await farewell()
        self._end(f"another takes over: {why}")

    def _has_work(self, *, waiting: bool = True) -> bool:
        """Whether something runs, or is `waiting` and resumes automatically."""
        try:
            running = self._store.tasks.count((TaskStatus.NEW, *RUNNING))
            going = running or (waiting and self._store.attempts.in_states(BY_ITSELF))
            return bool(going) or self._parts.hooks.has_work or self._parts.trash.busy
        except TROUBLE as error:
            # True, the safe side: ending would leave tasks without anyone who continues them.
            log.warning("the daemon cannot tell whether there is work: %s", error)
            return True

    def _tidy(self) -> None:
        """Checkpoint SQLite's write-ahead log while no task is at work: the database's file alone
        is then a complete copy, for a user who copies only that."""
        if not self._store.tasks.count((TaskStatus.NEW, *RUNNING)):
            self._store.checkpoint()

    async def _end_when_idle(self) -> None:
        pause = min(LOOK_SECONDS, self._settings.idle_exit / 4)
        busy_at = anyio.current_time()
        while True:
            await anyio.sleep(pause)
            await self._harmlessly(self._tidy)
            busy_at = max(busy_at, self._clients.last_left_at)
            # A connection that is still being greeted counts: its client would otherwise see the
            # daemon that it has just reached disappear.
            if await anyio.to_thread.run_sync(self._has_work) or self._clients.open:
                busy_at = anyio.current_time()
            elif anyio.current_time() - busy_at >= self._settings.idle_exit:
                await self._harmlessly(self._parts.warm_pool.clear)
                self._end("nothing is connected, running or scheduled")

    async def _end_when_lost(self) -> None:
        """End when the data folder is gone: nothing that the daemon does could be recorded."""
        while not is_lost(self._settings.home, self._lock):  # noqa: ASYNC110  # no event tells that a folder is gone
            await anyio.sleep(LOOK_SECONDS)
        log.error("ending: the data folder %s is gone", self._settings.home)
        end_process()

    async def _end_on_signal(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                with anyio.move_on_after(HTTP_SECONDS):
                    for service in list(self._services):
                        await service.end()
                with anyio.move_on_after(TIDY_SECONDS):
                    await self._parts.gateway.written()
                    clear = self._parts.warm_pool.clear
                    await anyio.to_thread.run_sync(clear, abandon_on_cancel=True)
                self._end(f"signal {number.name}")
