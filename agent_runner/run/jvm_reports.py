"""Reads the names of failed tests from what Maven's Surefire and Gradle print.

Each function takes lines without escape sequences, and returns no names unless they are as many as
the runner's own count says. The formats are those of Surefire 2.22 and 3, and of Gradle 4 to 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# --- Maven ---

_MAVEN_COUNT = re.compile(
    r"\[ERROR\] Tests run: \d+, Failures: (\d+), Errors: (\d+), Skipped: \d+$"
)
_MAVEN_NAME = re.compile(
    r"\[ERROR\] (?!Tests run: )(.+?)(?: --|  ?) ?Time elapsed: [\d.,]+ s +<<< (?:FAILURE|ERROR)!$"
)
_MAVEN_GOAL = re.compile(r"\[ERROR\] Failed to execute goal (.+)")
_MAVEN_TESTS = re.compile(r"\S+:maven-(?:surefire|failsafe)-plugin:\S+ .*There (?:are|were) test f")


def maven_names(lines: Sequence[str]) -> Sequence[str]:
    goals = [match[1] for line in lines if (match := _MAVEN_GOAL.match(line))]
    if not goals or not all(map(_MAVEN_TESTS.match, goals)):
        return ()
    counts = [match for line in lines if (match := _MAVEN_COUNT.match(line))]
    names = [match[1] for line in lines if (match := _MAVEN_NAME.match(line))]
    return names if len(names) == sum(int(count[1]) + int(count[2]) for count in counts) else ()


# --- Gradle ---

_GRADLE_COUNT = re.compile(r"\d+ tests? completed, (\d+) failed(?:, \d+ skipped)?$")
_GRADLE_NAME = re.compile(r"(?!> Task )(\S.* > .+) FAILED$")
_GRADLE_FAILED = "FAILURE: Build failed with an exception."
_GRADLE_CAUSE = "* What went wrong:"
_GRADLE_TESTS = "> There were failing tests. "


def gradle_names(out: Sequence[str], err: Sequence[str]) -> Sequence[str]:
    # With one cause, nothing but the tests has set the exit status.
    single = err.count(_GRADLE_FAILED) == err.count(_GRADLE_CAUSE) == 1
    if not single or not any(line.startswith(_GRADLE_TESTS) for line in err):
        return ()
    counts = [int(match[1]) for line in err if (match := _GRADLE_COUNT.match(line))]
    names = [match[1] for line in out if (match := _GRADLE_NAME.match(line))]
    return names if len(names) == sum(counts) else ()
