"""When what stands still is given up (V1): never while it gets on, however slowly."""

from __future__ import annotations

from agent_runner.process.progress import LOOKS, Look, ProgressLimits, ProgressWatch

PATIENCE = ProgressLimits(still=120, spinning=3600)
OF_AN_HOUR = round(PATIENCE.spinning / PATIENCE.interval)


def test_what_does_nothing_at_all_is_given_up() -> None:
    watch = ProgressWatch(PATIENCE)
    said = [watch.add(Look(1, 1)) for _ in range(LOOKS)]
    assert said[:-1] == [""] * (LOOKS - 1)
    assert said[-1] == "it did nothing at all for 120 s"


def test_a_little_now_and_then_is_enough() -> None:
    watch = ProgressWatch(PATIENCE)
    for number in range(20 * OF_AN_HOUR):
        assert watch.add(Look(number // (LOOKS - 1), number // (2 * LOOKS))) == ""


def test_what_only_computes_is_given_up_after_an_hour() -> None:
    watch = ProgressWatch(PATIENCE)
    said = [watch.add(Look(number, 1)) for number in range(OF_AN_HOUR)]
    assert said[:-1] == [""] * (OF_AN_HOUR - 1)
    assert said[-1].startswith("it computed for 3600 s")
