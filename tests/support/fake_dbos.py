"""DBOS as far as the control plane uses it, in one thread and on a clock that the test moves.

What is enqueued outlives a daemon; a workflow that was in flight when one died runs again from its
beginning, and its steps that were recorded give what they gave. A step may be done and not recorded
when a daemon dies. `run` runs all that is due until nothing moves.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class StillRuns(BaseException):
    """A step waits for the world: its workflow stays where it is."""


class DaemonDied(BaseException):
    """The daemon died here."""


@dataclass
class FakeWorkflow:
    name: str
    args: tuple[Any, ...]
    due: float
    status: str = "ENQUEUED"
    results: list[Any] = field(default_factory=list[Any])
    error: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self.status in ("SUCCESS", "ERROR", "CANCELLED")


class FakeDBOS:
    """`deaths`: the share of steps at which the daemon dies."""

    executor = "roverd"

    def __init__(self, clock: Callable[[], float], dice: random.Random, deaths: float = 0) -> None:
        self.clock, self.dice, self.deaths = clock, dice, deaths
        self.flows: dict[str, FakeWorkflow] = {}
        self._functions: dict[str, Callable[..., object]] = {}
        self._step = 0
        self._at_once = 1
        self.workflow_id: str | None = None

    def __call__(self, *, config: object) -> FakeDBOS:
        self._functions = {}
        return self

    def launch(self) -> None:
        """What was in flight is brought back by `run`."""

    def destroy(self, **_: object) -> None:
        """Nothing runs on."""

    def register_queue(self, _name: str, *, worker_concurrency: int, **_: object) -> None:
        self._at_once = worker_concurrency

    def step(self, *, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(work: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any) -> Any:
                results = self.flows[str(self.workflow_id)].results
                if self._step == len(results):
                    found = work(*args)
                    if self.dice.random() < self.deaths:
                        raise DaemonDied
                    results.append(found)
                self._step += 1
                return results[self._step - 1]

            return run

        return decorate

    def workflow(
        self, *, name: str, **_: object
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(work: Callable[..., Any]) -> Callable[..., Any]:
            self._functions[name] = work
            return work

        return decorate

    def enqueue_workflow_with_options(self, options: Any, *args: Any) -> None:
        """At most once ever by its id."""
        due = self.clock() + options.get("delay_seconds", 0)
        flow = FakeWorkflow(options["workflow_name"], args, due)
        self.flows.setdefault(options["workflow_id"], flow)

    def get_workflow_status(self, workflow_id: str) -> SimpleNamespace | None:
        flow = self.flows.get(workflow_id)
        if flow is None:
            return None
        late = flow.status == "ENQUEUED" and flow.due > self.clock()
        status = "DELAYED" if late else flow.status
        return SimpleNamespace(status=status, error=flow.error, executor_id=self.executor)

    def cancel_workflow(self, workflow_id: str) -> None:
        if (flow := self.flows.get(workflow_id)) is not None and not flow.is_over:
            flow.status = "CANCELLED"

    def due(self) -> float | None:
        """When the next delayed workflow is due."""
        times = [f.due for f in self.flows.values() if f.status == "ENQUEUED"]
        return min((t for t in times if t > self.clock()), default=None)

    def run(self) -> None:
        """Raises Died at a step at which the daemon dies."""
        moved = True
        while moved:
            moved = False
            for workflow_id, flow in list(self.flows.items()):
                moved |= self._may_run(flow) and self._run(workflow_id, flow)

    def _may_run(self, flow: FakeWorkflow) -> bool:
        going = sum(f.status == "PENDING" for f in self.flows.values())
        begins = flow.status == "ENQUEUED" and flow.due <= self.clock() and going < self._at_once
        return flow.status == "PENDING" or begins

    def _run(self, workflow_id: str, flow: FakeWorkflow) -> bool:
        """Whether it came further."""
        before = len(flow.results), flow.status
        flow.status, self.workflow_id, self._step = "PENDING", workflow_id, 0
        try:
            self._functions[flow.name](*flow.args)
            flow.status = "SUCCESS"
        except StillRuns:
            return (len(flow.results), flow.status) != before
        except AssertionError:
            raise  # the test's
        except Exception as error:  # noqa: BLE001  # as DBOS does
            flow.status, flow.error = "ERROR", error
        finally:
            self.workflow_id = None
        return True
