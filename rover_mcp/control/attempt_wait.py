"""The middle of an attempt: waiting for the end of its sandbox, and stopping it."""

from __future__ import annotations

from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.store.records import TaskRow

ENGINE_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Waits between calls of an engine that cannot be reached; the last one repeats."""


class AttemptWait:
    """Follows the sandbox of an attempt. Every method is idempotent."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context

    def follow(self, task_id: str, attempt: int) -> SandboxExit:
        """Wait until the sandbox has ended. An engine that cannot be reached is asked again until
        it answers: it may have been restarted, and its silence says nothing about the sandbox."""
        task = self._context.task(task_id)
        engine = self._context.engines[task.engine]
        name = sandbox_name(task_id, attempt)
        self._context.live.refresh(task_id)
        tries = 0
        while True:
            try:
                # A daemon that was restarted follows sandboxes whose sockets nobody serves yet.
                self._context.open_gateway(task, attempt)
                self._stop_if_unwanted(task, name)
                return engine.follow(name)
            except EnvironmentFault as fault:
                if tries == 0:
                    self._tell_unreachable(task_id, fault)
                self._context.sleep(ENGINE_RETRY_SECONDS[min(tries, len(ENGINE_RETRY_SECONDS) - 1)])
                tries += 1

    def _stop_if_unwanted(self, task: TaskRow, name: str) -> None:
        """Stop the sandbox if a pause or a cancellation came while it was started, or while its
        engine could not be reached."""
        if self._context.is_unwanted(task):
            self._context.engines[task.engine].stop(name, self._context.settings.stop_grace)

    def stop(self, task: TaskRow, name: str) -> None:
        """Ask a sandbox to take a checkpoint and end, or cancel the build of its image. An engine
        that cannot be reached is reported as an event."""
        preparation = self._context.starting.get(task.id)
        try:
            if preparation and self._context.is_unwanted(task):
                preparation.ask()
            self._context.engines[task.engine].stop(name, self._context.settings.stop_grace)
        except EnvironmentFault as fault:
            self._tell_unreachable(task.id, fault)

    def _tell_unreachable(self, task_id: str, fault: EnvironmentFault) -> None:
        data = {"message": fault.message, "hint": fault.hint}
        self._context.store.events.add(task_id, "task.engine_unreachable", data)
