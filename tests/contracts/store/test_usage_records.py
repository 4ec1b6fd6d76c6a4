"""The gateway's usage records, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_runner.models import Budget, Usage
from rover_mcp.store import usage_records
from rover_mcp.store.records import CallRow, ModelUse, TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Make

CALL = CallRow("t", "1", 1, 5.0, "openai", "gpt-5", 1, 10, 2, 3, 0, 0.5)


def test_an_answer_written_again_counts_once(store: Store) -> None:
    """As more of it is told, or after a restart in the middle."""
    store.usage.write([CALL, replace(CALL, id="2")])
    store.usage.write([replace(CALL, output_tokens=7, cost_usd=0.75)])
    store.usage.write([])
    assert store.usage.by_model("t") == [
        ModelUse(
            "openai",
            "gpt-5",
            2,
            Usage(input_tokens=20, output_tokens=9, cache_read_tokens=6, cost_usd=1.25),
        )
    ]


def test_what_has_no_price_stands_apart(store: Store, running: TaskRow) -> None:
    task = running.id
    call = replace(CALL, task_id=task)
    unpriced = replace(call, id="2", model="gpt-99", cost_usd=None)
    store.usage.write([call, unpriced, replace(call, id="3", cost_usd=None)])
    store.usage.write([replace(CALL, task_id="another")])
    found = [(u.model, u.usage.cost_usd) for u in store.usage.by_model(task)]
    assert sorted(found, key=str) == [("gpt-5", 0.5), ("gpt-5", None), ("gpt-99", None)]
    assert store.usage.spent(task).cost_usd == 0.5
    assert store.usage.spent(task).input_tokens == 30
    assert store.usage.spent("nobody") == Usage()


def test_an_ended_attempts_calls_become_one_row_and_the_sum_stays(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What grows has a cap."""
    monkeypatch.setattr(usage_records, "FEW", 4)
    task = make().id
    calls = [replace(CALL, task_id=task, id=str(n), cost_usd=n / 4) for n in range(10)]
    calls.append(replace(CALL, task_id=task, id="x", cost_usd=None))
    store.usage.write(calls)
    before = store.usage.by_model(task)
    for attempt in (1, 2):
        store.usage.fold(task)
        assert store.usage.by_model(task) == before
        store.usage.fold(task)
        more = [replace(c, attempt=attempt + 1, id=f"{attempt}-{c.id}") for c in calls]
        store.usage.write(more)
        before = store.usage.by_model(task)
    assert sum(u.calls for u in before) == 33


def test_folded_calls_can_still_be_counted_on_their_days(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midnight is at a multiple of 15 minutes in every time zone."""
    monkeypatch.setattr(usage_records, "FEW", 2)
    task = make().id
    midnight = 900.0 * 101
    times = (midnight - 1, midnight, midnight + 899, midnight + 900)
    store.usage.write([replace(CALL, task_id=task, id=str(at), at=at) for at in times])
    store.usage.fold(task)
    calls = store.usage_history.calls(0)
    assert [(call.at, call.calls) for call in calls] == [
        (midnight - 1, 1),
        (midnight, 2),
        (midnight + 900, 1),
    ]


def test_models_without_a_price_are_named_where_a_budget_misses_them(
    store: Store, make: Make
) -> None:
    """F8: of tasks that go on, with such a budget; each model once."""
    tasks = {
        "usd": make(budget=Budget(usd=1)),
        "tokens": make(budget=Budget(tokens=1)),
        "none": make(),
    }
    for name, task in tasks.items():
        call = replace(CALL, task_id=task.id, model=f"{name}-99", cost_usd=None)
        store.usage.write([call, replace(call, id="2"), replace(call, id="3", model="")])
        store.usage.write([replace(call, id="4", model="priced", cost_usd=0.1)])
    status = str(tasks["usd"].status)
    assert store.usage.unpriced([status]) == ["openai/usd-99"]
    assert store.usage.unpriced(["COMPLETED"]) == []


def test_what_is_reserved_stands_until_the_call_has_ended(store: Store) -> None:
    """U10: and a call that came to nothing is none."""
    held = replace(CALL, input_tokens=0, reserved={"input_tokens": 5, "output_tokens": 9})
    store.usage.write([held, replace(held, id="2"), replace(held, id="3", task_id="another")])
    assert {c.id for c in store.usage.on_their_way("t")} == {"1", "2"}
    assert store.usage.on_their_way("t")[0].reserved == {"input_tokens": 5, "output_tokens": 9}
    store.usage.write([replace(CALL, estimated=1), replace(CALL, id="2", calls=0)])
    assert store.usage.on_their_way("t") == []
    [use] = store.usage.by_model("t")
    assert (use.calls, use.estimated) == (1, 1)
