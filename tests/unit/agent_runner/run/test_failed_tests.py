"""Which tests failed, by what real test runners print: pytest as it is here, the others as they
printed it (jest 29.7, go 1.26, cargo 1.95)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_runner.run.failed_tests import comparison, failed_tests

GO = """\
--- FAIL: TestA (0.00s)
    --- FAIL: TestA/s (0.00s)
        p_test.go:3: x
FAIL
FAIL\tex.test/m/p\t0.020s
FAIL\tex.test/m/q [build failed]
FAIL
"""
GO_ERR = """\
# ex.test/m/q [ex.test/m/q.test]
q/q_test.go:3:27: undefined: undefined
"""
CARGO = """\
running 2 tests
test tests::good ... ok
test tests::bad ... FAILED

failures:

---- tests::bad stdout ----
assertion failed: false

failures:
    tests::bad

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s


running 1 test
test src/lib.rs - f (line 1) ... FAILED

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.30s
"""
CARGO_ERR = "error: test failed, to rerun pass `--lib`\nerror: 2 targets failed:\n    `--lib`\n"
JEST_ERR = """\
FAIL ./a.test.js
  ● Console

    console.log
      hi

  ● sum › bad

    expect(received).toBe(expected) // Object.is equality

FAIL ./b.test.js
  ● Test suite failed to run

    SyntaxError: /x/b.test.js: Missing semicolon. (1:6)

Test Suites: 2 failed, 2 total
Tests:       1 failed, 1 passed, 2 total
Snapshots:   0 total
Time:        1.915 s
Ran all test suites.
npm error Lifecycle script `test` failed with error:
npm error code 1
"""
JEST = "\n> x@1.0.0 test\n> jest\n"


def ran(out: str, err: str = "") -> dict[str, str]:
    return {"stdout": out, "stderr": err, "exit_code": "1", "success": "false"}


@pytest.mark.parametrize(
    ("printed", "names"),
    [
        (ran(GO, GO_ERR), ("ex.test/m/p.TestA", "ex.test/m/p.TestA/s", "ex.test/m/q")),
        (ran(CARGO, CARGO_ERR), ("tests::bad", "src/lib.rs - f")),
        (
            ran(JEST, JEST_ERR),
            ("./a.test.js › sum › bad", "./b.test.js › Test suite failed to run"),
        ),
        # Not complete, or another program may have set the exit status.
        (ran(GO + "lint: 3 problems\n"), None),
        (ran("panic: x\n" + GO), None),
        (ran(GO.replace("[build failed]", "\t0.1s"), GO_ERR), None),
        (ran(CARGO, CARGO_ERR + "error: could not compile `x`\n"), None),
        (ran(CARGO.replace("test tests::bad ... FAILED\n", ""), CARGO_ERR), None),
        (ran(JEST, JEST_ERR.replace("1 failed, 1 p", "2 failed, 1 p")), None),
        (ran(JEST + "3 problems\n", JEST_ERR), None),
        (ran("1 failed in 0.1s\n"), None),
        (ran("= short test summary info =\nFAILED t.py::a\n1 failed in 0.1s\n", "cc: no\n"), None),
        (ran("test_old failed\n"), None),
        (ran(""), None),
    ],
)
def test_names_are_read_where_they_are_complete(
    printed: Mapping[str, str], names: tuple[str, ...] | None
) -> None:
    """A.2: what failed before may fail after; by their names, not by an agent's word."""
    assert failed_tests(printed) == names


TESTS = """\
import pytest
@pytest.mark.parametrize("x", ["a - b", "c d"])
def test_old(x): assert False
def test_new(): assert {new}
def test_good(): pass
"""


def test_a_run_of_pytest_is_compared_with_an_earlier_one(tmp_path: Path) -> None:
    """With -q and without, in any order."""

    def run(new: bool, *options: str) -> dict[str, str]:
        (tmp_path / "test_it.py").write_text(TESTS.format(new=new))
        command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return ran(done.stdout, done.stderr) | {"success": str(done.returncode == 0).lower()}

    before, after, broken = run(True, "-q"), run(True), run(False)
    told = comparison(before, after)
    assert told["only_old_failures"] == "true"
    assert told["failed_tests"].count("test_it.py::test_old[") == 2
    assert told["compared"] == "; all of them failed before"
    told = comparison(before, broken)
    assert told["only_old_failures"] == "false"
    assert told["compared"] == "; not before: test_it.py::test_new"
    passed = run(True, "-k", "good")
    assert passed["success"] == "true"
    assert comparison(passed, after)["only_old_failures"] == "false"


def test_what_cannot_be_compared_is_called_the_agents_word() -> None:
    assert comparison({}, ran(GO, GO_ERR)) == {"failed_tests": "", "compared": ""}
    assert comparison(ran("it failed"), ran(GO, GO_ERR)) == {
        "failed_tests": "",
        "compared": "; as the agent says",
    }
    same = ran(CARGO.replace("src/lib.rs - f (line 1)", "tests::bad"), CARGO_ERR)
    once = ran(CARGO, CARGO_ERR)
    assert comparison(same, same)["only_old_failures"] == "true"
    assert comparison(once, same)["only_old_failures"] == "false", (
        "two targets have a test so named"
    )
