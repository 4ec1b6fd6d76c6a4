"""Reads the names of failed tests from what test runners print, and compares them with those that
failed before a change. Pure.

Names are believed only if they are complete: as many as the runner's count says, and the count is
the last thing that was printed, so that nothing else can have set the exit status. What a test
prints is untrusted, but with a name added or hidden the count no longer fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from agent_runner.run.javascript_reports import (
    jest_names,
    mocha_names,
    node_names,
    vitest_names,
)
from agent_runner.run.jvm_reports import gradle_names, maven_names
from agent_runner.run.ruby_reports import is_quiet, minitest_names, rspec_names
from agent_runner.run.test_reports import (
    CARGO_LAST,
    cargo_names,
    go_names,
    phpunit_names,
    pytest_names,
    unittest_names,
)
from agent_runner.workflow.models import Comparison

Names = tuple[str, ...]

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_WRAPPER = re.compile(
    r"make(?:\[\d+\])?: |error: Recipe |npm (?:error|ERR!)|error Command failed"
    r"|info Visit|\s*ELIFECYCLE|Destroying test database for alias "
)
"""Lines that a program which started the test runner adds at the end."""
_STARTER = re.compile(
    r"> |\$ |yarn run|Done in |Found \d+ test\(s\)|System check identified no issues"
)
"""Lines that such a program, or Django, prints to standard output; jest and unittest themselves
print to standard error."""
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
    names = _read(out, err)
    return _numbered(names) if names else None


def _read(out: Sequence[str], err: Sequence[str]) -> Sequence[str]:
    """By the first reader that knows both streams, of which no line may be another program's."""
    names: Sequence[str] = ()
    if all(_QUIET.match(line) for line in err if line):
        names = pytest_names(out) or go_names(out) or maven_names(out)
    if err and CARGO_LAST.match(err[-1]):
        names = names or cargo_names(out)
    if any(line.endswith("[build failed]") for line in out):
        names = names or go_names(out)
    if all(_STARTER.match(line) for line in out if line):
        names = names or jest_names(err) or unittest_names(err)
    if not any(err):
        names = names or mocha_names(out) or node_names(out) or phpunit_names(out)
    if is_quiet(err):
        names = names or rspec_names(out) or minitest_names(out)
    return names or vitest_names(out, err) or gradle_names(out, err)


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
