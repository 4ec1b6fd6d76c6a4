"""Reads the names of failed tests from what RSpec and minitest (or Rails' tests) print.

Each function takes lines without escape sequences, and returns no names unless they are as many as
the runner's own count says. The formats are those of RSpec 3.12 and minitest 5.17.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_RAKE = re.compile(
    r"rake aborted!$|Command failed with status|Tasks: TOP =>|\(See full trace by running"
)
_COVERAGE = re.compile(r"Coverage report generated for |(?:Line|Branch) Coverage: ")
"""SimpleCov's report, which follows the test runner's. What it fails for, it prints to standard
error."""


def is_quiet(err: Sequence[str]) -> bool:
    """Whether standard error has only what rake adds, so that nothing else sets the exit status."""
    return all(_RAKE.match(line) for line in err if line)


# --- RSpec ---

_RSPEC_COUNT = re.compile(r"\d+ examples?, (\d+) failures?(?:, \d+ pending)?$")
_RSPEC_NAME = re.compile(r"rspec (\S+?\.rb)(?::\d+|\[[\d:]+\]) # (.+)$")
_RSPEC_SEED = re.compile(r"Randomized with seed \d+$")
_RSPEC_LIST = "Failed examples:"


def rspec_names(lines: Sequence[str]) -> Sequence[str]:
    counts = [int(match[1]) for line in lines if (match := _RSPEC_COUNT.match(line))]
    if _RSPEC_LIST not in lines or len(counts) != 1:
        return ()
    after = [line for line in lines[lines.index(_RSPEC_LIST) + 1 :] if line]
    listed = [line for line in after if not _RSPEC_SEED.match(line) and not _COVERAGE.match(line)]
    matches = [_RSPEC_NAME.match(line) for line in listed]
    # Without the line, which changes with the file.
    names = [f"{match[1]} › {match[2]}" for match in matches if match]
    return names if len(names) == len(listed) == counts[0] else ()


# --- minitest ---

_MINITEST_HEAD = re.compile(r"(?:  \d+\) )?(?:Failure|Error):$")
_MINITEST_NAME = re.compile(r"(\S.*?)(?: \[[^\]]+\])?:$")
_MINITEST_COUNT = re.compile(
    r"\d+ (?:runs|tests), \d+ assertions, (\d+) failures, (\d+) errors, \d+ skips$"
)
_MINITEST_HINT = "You have skipped tests. Run with --verbose for details."


def minitest_names(lines: Sequence[str]) -> Sequence[str]:
    ends = [n for n, line in enumerate(lines) if _MINITEST_COUNT.match(line)]
    count = _MINITEST_COUNT.match(lines[ends[0]]) if len(ends) == 1 else None
    after = [line for line in lines[ends[0] + 1 :] if line] if count else ()
    if count is None or any(x != _MINITEST_HINT and not _COVERAGE.match(x) for x in after):
        return ()
    below_heads = [below for head, below in pairwise(lines) if _MINITEST_HEAD.match(head)]
    matches = [_MINITEST_NAME.match(line) for line in below_heads]
    names = [match[1] for match in matches if match]
    return names if len(names) == len(below_heads) == int(count[1]) + int(count[2]) else ()
