"""Reads the names of failed tests from what pytest, unittest, `go test`, `cargo test` and PHPUnit
print.

Each function takes lines without escape sequences, and returns no names unless they are as many as
the runner's own count says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

# --- pytest ---

_PYTEST_NAME = re.compile(r"(?:FAILED|ERROR) (\S.*?)(?: - .*)?$")
_PYTEST_END = re.compile(
    r"(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in \d[\d.:]*s?(?: \([\d:, a-z]+\))?(?: =+)?$"
)
_PYTEST_COUNT = re.compile(r"(\d+) (?:failed|errors?)\b")


def pytest_names(lines: Sequence[str]) -> Sequence[str]:
    end = _PYTEST_END.match(lines[-1]) if lines else None
    if end is None:
        return ()
    begun = [n for n, line in enumerate(lines) if "short test summary info" in line]
    after = [*lines[begun[-1] :]] if begun else list[str]()
    names = [match[1] for line in after if (match := _PYTEST_NAME.match(line))]
    return names if len(names) == sum(map(int, _PYTEST_COUNT.findall(end[1]))) else ()


# --- unittest, and Django's tests, which are printed in the same way ---

_UNITTEST_RULE = "=" * 70
_UNITTEST_NAME = re.compile(r"(?:ERROR|FAIL|UNEXPECTED SUCCESS): (\S.*)")
_UNITTEST_END = re.compile(r"FAILED \(([a-z]+(?: [a-z]+)*=\d+(?:, [a-z]+(?: [a-z]+)*=\d+)*)\)$")
_UNITTEST_COUNT = re.compile(r"(?:failures|errors|unexpected successes)=(\d+)")


def unittest_names(lines: Sequence[str]) -> Sequence[str]:
    end = _UNITTEST_END.match(lines[-1]) if lines else None
    if end is None:
        return ()
    after_rules = (below for rule, below in pairwise(lines) if rule == _UNITTEST_RULE)
    names = [match[1] for line in after_rules if (match := _UNITTEST_NAME.match(line))]
    return names if len(names) == sum(map(int, _UNITTEST_COUNT.findall(end[1]))) else ()


# --- go test ---

_GO_TEST = re.compile(r"\s*--- FAIL: (\S+)")
_GO_PACKAGE = re.compile(r"FAIL\t(\S+)(?: \[(?:build|setup) failed\]|\t[\d.]+s)$")
_GO_END = re.compile(r"(?:FAIL$|(?:FAIL|ok  |\?   |---)\t)")


def go_names(lines: Sequence[str]) -> Sequence[str]:
    if not lines or not _GO_END.match(lines[-1]):
        return ()
    failed: list[str] = []
    tests: list[str] = []
    for line in lines:
        # After a panic a package's other tests were not run.
        if line.startswith("panic: "):
            return ()
        if test := _GO_TEST.match(line):
            tests.append(test[1])
        elif package := _GO_PACKAGE.match(line):
            failed += [f"{package[1]}.{test}" for test in tests] or [package[1]]
            tests = []
    return () if tests else failed


# --- cargo test ---

_CARGO_NAME = re.compile(r"test (.+?) \.\.\. FAILED$")
_CARGO_END = re.compile(r"test result: (?:FAILED|ok)\. \d+ passed; (\d+) failed;")
CARGO_LAST = re.compile(r"error: (?:doc)?test failed, to rerun|error: \d+ targets? failed|    `-")
_DOC_LINE = re.compile(r" \(line \d+\)")


def cargo_names(lines: Sequence[str]) -> Sequence[str]:
    if not lines or not _CARGO_END.match(lines[-1]):
        return ()
    names = [_DOC_LINE.sub("", match[1]) for line in lines if (match := _CARGO_NAME.match(line))]
    failed = sum(int(match[1]) for line in lines if (match := _CARGO_END.match(line)))
    return names if len(names) == failed else ()


# --- PHPUnit ---

_PHPUNIT_SECTION = re.compile(r"There (?:was|were) \d+ (.+):$")
_PHPUNIT_NAME = re.compile(r"(\d+)\) (.+)$")
_PHPUNIT_END = re.compile(r"Tests: \d+, Assertions: \d+, .*\.$")
_PHPUNIT_COUNT = re.compile(r"(?:Errors|Failures): (\d+)")
_PHPUNIT_BAD = ("error", "errors", "failure", "failures")


def phpunit_names(lines: Sequence[str]) -> Sequence[str]:
    """Warnings can set the exit status, too: with one of them, no names are returned."""
    end = _PHPUNIT_END.match(lines[-1]) if lines else None
    if end is None or "Warnings: " in end[0]:
        return ()
    names: list[str] = []
    kind, last = "", 0
    for line in lines:
        if section := _PHPUNIT_SECTION.match(line):
            kind, last = section[1], 0
        elif kind in _PHPUNIT_BAD and (name := _PHPUNIT_NAME.match(line)):
            last += 1
            # The message of a test may look like a name, so the numbers have to be in order.
            if int(name[1]) != last:
                return ()
            names.append(name[2])
    return names if len(names) == sum(map(int, _PHPUNIT_COUNT.findall(end[0]))) else ()
