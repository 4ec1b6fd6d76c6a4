"""Reads the names of failed tests from what jest, vitest, mocha and Node's own test runner print.

Each function takes lines without escape sequences, and returns no names unless they are as many as
the runner's own count says. The formats are those of jest 29.7, vitest 4.1, mocha 11 and Node 20.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# --- jest ---

_JEST_FILE = re.compile(r"FAIL +(\S+)")
_JEST_NAME = re.compile(r"  ● (.+)$")
_JEST_COUNT = re.compile(r"Tests: +(\d+) failed,")
_JEST_SUITES = re.compile(r"Test Suites: +(\d+) failed,")
_JEST_END = re.compile(r"Ran all test suites|Time: |Snapshots: ")
_NOT_RUN = "Test suite failed to run"


def jest_names(lines: Sequence[str]) -> Sequence[str]:
    if not lines or not _JEST_END.match(lines[-1]):
        return ()
    names: dict[str, None] = {}
    file = ""
    for line in lines:
        if named := _JEST_FILE.match(line):
            file = named[1]
        elif (test := _JEST_NAME.match(line)) and test[1] != "Console":
            names[f"{file} › {test[1]}"] = None
    tests = [name for name in names if not name.endswith(f"› {_NOT_RUN}")]
    suites = {name.partition(" › ")[0] for name in names}
    return list(names) if (len(tests), len(suites)) == _jest_counts(lines) else ()


def _jest_counts(lines: Sequence[str]) -> tuple[int, int]:
    counts = [
        [int(match[1]) for line in lines if (match := pattern.match(line))]
        for pattern in (_JEST_COUNT, _JEST_SUITES)
    ]
    return (sum(counts[0]), sum(counts[1]))


# --- vitest ---

_VITEST_FAILED = re.compile(r" FAIL  (.+)$")
_VITEST_SUITE = re.compile(r"(.+) \[ .+ \]$")
_VITEST_LAST = re.compile("⎯+\\[\\d+/\\d+\\]⎯+$")
_VITEST_FILES = re.compile(r" Test Files  (\d+) failed")
_VITEST_TESTS = re.compile(r" +Tests  (\d+) failed")
_VITEST_END = re.compile(r" +Duration  ")
_VITEST_UNHANDLED = re.compile(r" +Errors  ")


def vitest_names(out: Sequence[str], err: Sequence[str]) -> Sequence[str]:
    ends = out and _VITEST_END.match(out[-1]) and err and _VITEST_LAST.match(err[-1])
    # An error outside of all tests sets the exit status, too, and has no name.
    if not ends or any(_VITEST_UNHANDLED.match(line) for line in out):
        return ()
    failed = [match[1] for line in err if (match := _VITEST_FAILED.match(line))]
    files = {suite[1] for name in failed if (suite := _VITEST_SUITE.match(name))}
    tests = [name for name in failed if not _VITEST_SUITE.match(name)]
    files |= {name.partition(" > ")[0] for name in tests}
    counts = (_count(_VITEST_TESTS, out), _count(_VITEST_FILES, out))
    return failed if (len(tests), len(files)) == counts else ()


# --- mocha ---

_MOCHA_COUNT = re.compile(r"  (\d+) failing$")
_MOCHA_NUMBER = re.compile(r"  (\d+)\) (.+)$")
_MOCHA_TITLE = re.compile(r" {7,}(\S.*)$")
_MOCHA_DETAIL = " " * 5


def mocha_names(lines: Sequence[str]) -> Sequence[str]:
    """Nothing marks the end of the report, so all after the last name must be indented as the
    errors and their stacks are."""
    begun = [n for n, line in enumerate(lines) if _MOCHA_COUNT.match(line)]
    after = lines[begun[-1] + 1 :] if begun else ()
    names: list[str] = []
    last = 0
    for place, line in enumerate(after):
        if (number := _MOCHA_NUMBER.match(line)) and int(number[1]) == len(names) + 1:
            titles, last = _mocha_titles(after[place + 1 :])
            last += place
            names.append(" › ".join([number[2], *titles]).removesuffix(":"))
    complete = bool(begun) and len(names) == _count(_MOCHA_COUNT, lines)
    return names if complete and _indented(after[last + 1 :], _MOCHA_DETAIL) else ()


def _mocha_titles(lines: Sequence[str]) -> tuple[list[str], int]:
    """The titles of the blocks around a test and its own, and how many lines they are."""
    titles: list[str] = []
    for line in lines:
        title = _MOCHA_TITLE.match(line)
        if title is None:
            break
        titles.append(title[1])
        if line.endswith(":"):
            break
    return titles, len(titles)


# --- node --test ---

_NODE_COUNT = re.compile(r"(?:# |ℹ )(?:fail|cancelled) (\d+)$")
_NODE_TAP_END = re.compile(r"# duration_ms ")
_NODE_TAP_BEGUN = re.compile(r"( *)# Subtest: (.+)$")
_NODE_TAP_FAILED = re.compile(r"( *)not ok \d+ - (.+)$")
_NODE_TAP_PLACE = re.compile(r" *location: '(.+?)(?::\d+)*'$")
_NODE_TAP_DIRECTIVE = re.compile(r" # (?:TODO|SKIP)\b")
_NODE_SPEC_BEGUN = "✖ failing tests:"
_NODE_SPEC_PLACE = re.compile(r"test at (.+?)(?::\d+)*$")
_NODE_SPEC_NAME = re.compile(r"✖ (.+?) \([\d.]+ms\)$")


def node_names(lines: Sequence[str]) -> Sequence[str]:
    names = _node_tap(lines) if lines and _NODE_TAP_END.match(lines[-1]) else _node_spec(lines)
    return names if len(names) == _count(_NODE_COUNT, lines) else ()


def _node_tap(lines: Sequence[str]) -> list[str]:
    """Tests that failed; not the suites around them, which the runner does not count either."""
    names: list[str] = []
    titles: dict[int, str] = {}
    for place, line in enumerate(lines):
        if begun := _NODE_TAP_BEGUN.match(line):
            titles[len(begun[1])] = begun[2]
        failed = _NODE_TAP_FAILED.match(line)
        if failed is None or _NODE_TAP_DIRECTIVE.search(failed[2]):
            continue
        depth = len(failed[1])
        details = _node_details(lines[place + 1 :], depth)
        if f"{' ' * depth}  type: 'suite'" not in details:
            file = [match[1] for d in details if (match := _NODE_TAP_PLACE.match(d))]
            around = [titles[n] for n in sorted(titles) if n < depth]
            names.append(" › ".join([*file[:1], *around, failed[2]]))
    return names


def _node_details(lines: Sequence[str], depth: int) -> list[str]:
    """The YAML block below a test."""
    details: list[str] = []
    for line in lines:
        if not line.startswith(" " * (depth + 2)) or line.strip() == "...":
            break
        details.append(line)
    return details


def _node_spec(lines: Sequence[str]) -> list[str]:
    if _NODE_SPEC_BEGUN not in lines:
        return []
    after = lines[lines.index(_NODE_SPEC_BEGUN) + 1 :]
    names: list[str] = []
    file, last = "", 0
    for n, line in enumerate(after):
        if place := _NODE_SPEC_PLACE.match(line):
            file = place[1]
        elif name := _NODE_SPEC_NAME.match(line):
            names.append(f"{file} › {name[1]}")
            last = n
    # As mocha's, the report has no last line of its own.
    return names if _indented(after[last + 1 :], "  ") else []


def _count(pattern: re.Pattern[str], lines: Iterable[str]) -> int:
    return sum(int(match[1]) for line in lines if (match := pattern.match(line)))


def _indented(lines: Iterable[str], by: str) -> bool:
    return all(line.startswith(by) for line in lines if line)
