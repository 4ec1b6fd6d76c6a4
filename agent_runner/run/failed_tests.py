"""Reads the names of failed tests from what test runners print, and compares them with those that
failed before a change. Pure.

Names are believed only if they are complete: as many as the runner's count says, and the count is
the last thing that was printed, so that nothing else can have set the exit status. What a test
prints is untrusted, but with a name added or hidden the count no longer fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from agent_runner.workflow.models import Comparison

Names = tuple[str, ...]

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_WRAPPER = re.compile(
    r"make(?:\[\d+\])?: |error: Recipe |npm (?:error|ERR!)|error Command failed"
    r"|info Visit|\s*ELIFECYCLE"
)
"""Lines that a program which started the test runner adds at the end."""
_STARTER = re.compile(r"> |\$ |yarn run|Done in ")
"""Lines that such a program prints elsewhere: jest itself prints to standard error."""
_QUIET = re.compile(
    r"warning|go: downloading|(?:Using|Creating|Resolved|Building|Built|Prepared|Installed) "
    r"|Audited |Downloading| [+~-] ",
    re.IGNORECASE,
)
"""Lines of installers, and warnings, beside pytest and go. Other lines may come from a later
program that set the exit status."""
_SHOWN = 5
_NAME_SHOWN = 120


def comparison(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The outputs that compare a failed command with its earlier run. They are empty if there was
    no such run, or if the names of the tests cannot be read. A verdict may contain them."""
    if not before:
        return {Comparison.FAILED_TESTS: "", Comparison.COMPARED: ""}
    failed = failed_tests(now)
    known = () if before.get("success") == "true" else failed_tests(before)
    if failed is None or known is None:
        return {Comparison.FAILED_TESTS: "", Comparison.COMPARED: "; as the agent says"}
    new = [name for name in failed if name not in known]
    compared = f"; not before: {_listed(new)}" if new else "; all of them failed before"
    return {
        Comparison.FAILED_TESTS: _listed(failed),
        Comparison.ONLY_OLD_FAILURES: "false" if new else "true",
        Comparison.COMPARED: compared,
    }


def failed_tests(outputs: Mapping[str, str]) -> Names | None:
    """The tests that failed; None if the names cannot all be read. A name that occurs again gets a
    number."""
    out, err = (_lines(outputs.get(name, "")) for name in ("stdout", "stderr"))
    names: Sequence[str] = ()
    if all(_QUIET.match(line) for line in err if line):
        names = _pytest(out) or _go(out)
    if err and _CARGO_LAST.match(err[-1]):
        names = names or _cargo(out)
    if any(line.endswith("[build failed]") for line in out):
        names = names or _go(out)
    if all(_STARTER.match(line) for line in out if line):
        names = names or _jest(err)
    return _numbered(names) if names else None


def _lines(text: str) -> list[str]:
    lines = [_ESCAPES.sub("", line).rstrip() for line in text.splitlines()]
    while lines and (not lines[-1] or _WRAPPER.match(lines[-1])):
        lines.pop()
    return lines


def _numbered(names: Iterable[str]) -> Names:
    seen: dict[str, int] = {}
    numbered: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(numbered)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:_NAME_SHOWN] for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


# --- pytest ---

_PYTEST_NAME = re.compile(r"(?:FAILED|ERROR) (\S.*?)(?: - .*)?$")
_PYTEST_END = re.compile(
    r"(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in \d[\d.:]*s?(?: \([\d:, a-z]+\))?(?: =+)?$"
)
_PYTEST_COUNT = re.compile(r"(\d+) (?:failed|errors?)\b")


def _pytest(lines: Sequence[str]) -> Sequence[str]:
    end = _PYTEST_END.match(lines[-1]) if lines else None
    if end is None:
        return ()
    begun = [n for n, line in enumerate(lines) if "short test summary info" in line]
    after = [*lines[begun[-1] :]] if begun else list[str]()
    names = [match[1] for line in after if (match := _PYTEST_NAME.match(line))]
    return names if len(names) == sum(map(int, _PYTEST_COUNT.findall(end[1]))) else ()


# --- go test ---

_GO_TEST = re.compile(r"\s*--- FAIL: (\S+)")
_GO_PACKAGE = re.compile(r"FAIL\t(\S+)(?: \[(?:build|setup) failed\]|\t[\d.]+s)$")
_GO_END = re.compile(r"(?:FAIL$|(?:FAIL|ok  |\?   |---)\t)")


def _go(lines: Sequence[str]) -> Sequence[str]:
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
_CARGO_LAST = re.compile(r"error: (?:doc)?test failed, to rerun|error: \d+ targets? failed|    `-")
_DOC_LINE = re.compile(r" \(line \d+\)")


def _cargo(lines: Sequence[str]) -> Sequence[str]:
    if not lines or not _CARGO_END.match(lines[-1]):
        return ()
    names = [_DOC_LINE.sub("", match[1]) for line in lines if (match := _CARGO_NAME.match(line))]
    failed = sum(int(match[1]) for line in lines if (match := _CARGO_END.match(line)))
    return names if len(names) == failed else ()


# --- jest ---

_JEST_FILE = re.compile(r"FAIL +(\S+)")
_JEST_NAME = re.compile(r"  ● (.+)$")
_JEST_COUNT = re.compile(r"Tests: +(\d+) failed,")
_JEST_SUITES = re.compile(r"Test Suites: +(\d+) failed,")
_JEST_END = re.compile(r"Ran all test suites|Time: |Snapshots: ")
_NOT_RUN = "Test suite failed to run"


def _jest(lines: Sequence[str]) -> Sequence[str]:
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
