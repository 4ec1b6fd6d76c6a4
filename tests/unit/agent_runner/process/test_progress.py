"""When what stands still is given up (V1): never while it gets on, however slowly."""

from __future__ import annotations

from agent_runner.process.progress import SAMPLES, ProgressLimits, ProgressSample, ProgressWatch

LIMITS = ProgressLimits(still=120, spinning=3600)
OF_AN_HOUR = round(LIMITS.spinning / LIMITS.interval)


def test_what_does_nothing_at_all_is_given_up() -> None:
    watch = ProgressWatch(LIMITS)
    said = [watch.add(ProgressSample(1, 1)) for _ in range(SAMPLES)]
    assert said[:-1] == [""] * (SAMPLES - 1)
    assert said[-1] == "it did nothing at all for 120 s"


def test_a_little_now_and_then_is_enough() -> None:
    watch = ProgressWatch(LIMITS)
    for number in range(20 * OF_AN_HOUR):
        assert watch.add(ProgressSample(number // (SAMPLES - 1), number // (2 * SAMPLES))) == ""


def test_what_only_computes_is_given_up_after_an_hour() -> None:
    watch = ProgressWatch(LIMITS)
    said = [watch.add(ProgressSample(number, 1)) for number in range(OF_AN_HOUR)]
    assert said[:-1] == [""] * (OF_AN_HOUR - 1)
    assert said[-1].startswith("it computed for 3600 s")
