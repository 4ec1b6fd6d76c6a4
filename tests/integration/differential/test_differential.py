"""Random repositories and edits: by hand with plain git and through a task it is the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.differential.by_daemon import by_daemon
from tests.integration.differential.by_hand import by_hand, contents
from tests.integration.differential.by_task import BRANCH, DeliveredWork, by_task
from tests.integration.differential.repository import Batch, make, run
from tests.integration.differential.scenes import BIG, EXAMPLES, SETTINGS, Example, Setting

ASKED = os.environ.get("ROVER_DIFFERENTIAL_EXAMPLES")
"""So many that are drawn anew; else the same ones each time."""

COUNT = int(ASKED or "500")
"""Those of `make test` find what a change breaks; what nobody has thought of, a campaign finds."""
AT_ONCE = 125
IN_ONE_TASK = 250

Way = Callable[[Path, Path, Batch], DeliveredWork]
"""The user's repository, a folder and the edits."""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="rover-differential-", dir="/dev/shm"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(found / "configuration"))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    yield found
    shutil.rmtree(found, ignore_errors=True)


def drawn(strategy: object, count: int, *, anew: bool = ASKED is not None) -> list[object]:
    """So many values, as hypothesis chooses them."""
    found: list[object] = []

    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=not anew,
    )  # fmt: skip
    @given(strategy)
    def draw(value: object) -> None:
        found.append(value)

    draw()
    return found


def differences(folder: Path, batch: Batch, way: Way = by_task) -> dict[int, list[str]]:
    """What is not the same, by the number of the example; -1: of the repository."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        return _compare(place, batch, way)
    finally:
        shutil.rmtree(place)


def _compare(place: Path, batch: Batch, way: Way) -> dict[int, list[str]]:
    user = place / "user"
    make(user, batch)
    checked_out = contents(user)
    refs = run(user, "for-each-ref")
    expected = by_hand(user, place / "hand", batch)
    delivered = way(user, place / "task", batch)
    found: dict[int, list[str]] = {}

    def tell(path: bytes, what: str) -> None:
        number = int(path[1:4]) if path[:1] == b"e" else -1
        found.setdefault(number, []).append(f"{what} {path!r}")

    for path in sorted(expected.tree.keys() | delivered.tree.keys()):
        one, other = expected.tree.get(path), delivered.tree.get(path)
        # Its mode may have changed since the agent's git converted it.
        converted = one and (one[0], expected.or_else.get(path, one)[1])
        if other not in (one, converted, expected.or_else.get(path, one)):
            tell(path, f"by hand {one}, by task {other}:")
    for path in sorted(checked_out.keys() | delivered.fresh.keys()):
        if checked_out.get(path) != delivered.fresh.get(path):
            tell(path, "checked out otherwise than the user's:")
    left = contents(place / "hand")
    for path in sorted(left.keys() | delivered.left.keys()):
        if left.get(path) != delivered.left.get(path):
            tell(path, "the edits came out otherwise:")
    run(user, "update-ref", "-d", f"refs/heads/{BRANCH}")
    if run(user, "for-each-ref") != refs or contents(user) != checked_out:
        tell(b"", "more than the branch was written")
    return found


def least(folder: Path, setting: Setting, example: Example) -> Example | None:
    """The example without all that is not needed for a difference; None where it makes none
    alone."""
    if not differences(folder, Batch(setting, [example])):
        return None
    smaller = True
    while smaller:
        smaller = False
        for cut in example.smaller():
            if differences(folder, Batch(setting, [cut])):
                example, smaller = cut, True
                break
    return example


def _short(example: Example | None) -> str:
    return repr(example).replace(repr(BIG), "BIG")


def _told(folder: Path, batch: Batch, found: dict[int, list[str]]) -> str:
    """For people: how many examples of a batch differ, and one of them, made small."""
    number, what = min(found.items(), key=lambda item: len(item[1]))
    whole = batch.examples[number] if number >= 0 else None
    example = whole and least(folder, batch.setting, whole)
    alone = "" if example else ", not if it is alone"
    return (
        f"{what[:20]}\n{len(found)} differ, one of them{alone}: {_short(example or whole)}\n"
        f"in {batch.setting}"
    )


TASKS = int(os.environ.get("ROVER_DIFFERENTIAL_TASKS", "0"))
"""So many whole tasks, of `IN_ONE_TASK` examples each that are drawn anew; else one of the same ones."""


@pytest.mark.timeout(3600)
def test_edits_by_hand_and_in_a_sandbox_give_the_same(folder: Path) -> None:
    """V2, V3: with a daemon, bubblewrap and the records of a run. The repository of a submodule is
    where only the sandbox sees it, so none is checked out: the edits are made from outside."""
    examples = drawn(
        EXAMPLES.map(lambda e: replace(e, submodules=())),
        max(TASKS, 1) * IN_ONE_TASK,
        anew=TASKS > 0,
    )
    for number, setting in enumerate(drawn(SETTINGS, max(TASKS, 1), anew=TASKS > 0)):
        batch = Batch(setting, examples[number * IN_ONE_TASK : (number + 1) * IN_ONE_TASK])
        found = differences(folder, batch, by_daemon)
        if TASKS:
            print(f"+{len(batch.examples)} examples through one task, {len(found)} differ")
        assert not found, f"{found}\nin {batch.setting}"


@pytest.mark.timeout(3600)
def test_edits_by_hand_and_through_a_task_give_the_same(folder: Path) -> None:
    """V2, V3"""
    examples = drawn(EXAMPLES, COUNT)
    parts = [examples[n : n + AT_ONCE] for n in range(0, len(examples), AT_ONCE)]
    differing: list[str] = []
    for setting, part in zip(drawn(SETTINGS, len(parts)), parts, strict=True):
        batch = Batch(setting, part)
        found = differences(folder, batch)
        if found:
            differing.append(_told(folder, batch, found))
        if ASKED:
            print(f"+{len(part)} examples, {len(found)} differ", *differing[-1:] * bool(found))
        elif found:
            break
    assert not differing, "\n\n".join(differing)
