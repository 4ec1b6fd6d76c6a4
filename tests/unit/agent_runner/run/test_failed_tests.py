"""Which tests failed, by what real test runners print: pytest, unittest and node as they are here,
the others as they printed it (jest 29.7, vitest 4.1, mocha 11.7, Django 5.2, go 1.26, cargo 1.95)."""

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
VITEST = """\

 RUN  v4.1.12 /x

stdout | v/a.test.js > sum > bad > one
hello

 ❯ v/a.test.js (4 tests | 1 failed) 13ms
     × bad > one 9ms
     ✓ good 0ms
 ❯ v/b.test.js (0 test)

 Test Files  2 failed (2)
      Tests  1 failed | 2 passed (3)
   Start at  15:06:00
   Duration  523ms (transform 57ms, setup 0ms, import 68ms, tests 13ms, environment 0ms)

"""
VITEST_ERR = """\

⎯⎯⎯⎯⎯⎯ Failed Suites 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  v/b.test.js [ v/b.test.js ]
Error: Cannot find module './nothere' imported from /x/v/b.test.js

⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯[1/2]⎯


⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  v/a.test.js > sum > bad > one
AssertionError: expected 1 to be 2 // Object.is equality
 ❯ v/a.test.js:2:81

⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯[2/2]⎯

"""
MOCHA = """\

> x@1.0.0 mo
> mocha


  sum
    1) bad
    ✔ good
    deep
      2) worse
    hook
      3) "before all" hook for "z"


  1 passing (4ms)
  3 failing

  1) sum
       bad:
     Error: x
      at Context.<anonymous> (file:///x/m/a.spec.js:1:49)

  2) sum
       deep
         worse:

      AssertionError [ERR_ASSERTION]: 1 == 2
      + expected - actual

      -1
      +2

  3) sum
       hook
         "before all" hook for "z":
     Error: h
      at process.processImmediate (node:internal/timers:483:21)



"""
DJANGO = "Found 2 test(s).\nSystem check identified no issues (0 silenced).\n"
DJANGO_ERR = """\
Creating test database for alias 'default'...
F.
======================================================================
FAIL: test_bad (a.tests.T.test_bad)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/x/a/tests.py", line 3, in test_bad
    def test_bad(self): self.assertEqual(1,2)
                        ^^^^^^^^^^^^^^^^^^^^^
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
Destroying test database for alias 'default'...
"""


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
        (ran(VITEST, VITEST_ERR), ("v/b.test.js [ v/b.test.js ]", "v/a.test.js > sum > bad > one")),
        (
            ran(MOCHA),
            ("sum › bad", "sum › deep › worse", 'sum › hook › "before all" hook for "z"'),
        ),
        (ran(DJANGO, DJANGO_ERR), ("test_bad (a.tests.T.test_bad)",)),
        # Not complete, or another program may have set the exit status.
        (ran(GO + "lint: 3 problems\n"), None),
        (ran("panic: x\n" + GO), None),
        (ran(GO.replace("[build failed]", "\t0.1s"), GO_ERR), None),
        (ran(CARGO, CARGO_ERR + "error: could not compile `x`\n"), None),
        (ran(CARGO.replace("test tests::bad ... FAILED\n", ""), CARGO_ERR), None),
        (ran(JEST, JEST_ERR.replace("1 failed, 1 p", "2 failed, 1 p")), None),
        (ran(JEST + "3 problems\n", JEST_ERR), None),
        (ran(VITEST + "3 problems\n", VITEST_ERR), None),
        (ran(VITEST.replace("1 failed |", "2 failed |"), VITEST_ERR), None),
        (ran(VITEST.replace("   Start", "     Errors  1 error\n   Start"), VITEST_ERR), None),
        (ran(MOCHA + "3 problems\n"), None),
        (ran(MOCHA, "cc: no\n"), None),
        (ran(MOCHA.replace("3 failing", "4 failing")), None),
        (ran(DJANGO, DJANGO_ERR + "3 problems\n"), None),
        (ran(DJANGO + "3 problems\n", DJANGO_ERR), None),
        (ran(DJANGO, DJANGO_ERR.replace("(failures=1)", "(failures=1, errors=1)")), None),
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


UNITTEST = """\
import unittest
class Sums(unittest.TestCase):
    def test_bad(self): self.fail("x\\nFAIL: fake (x.Y.fake)")
    def test_good(self): pass
    def test_parts(self):
        for i in (1, 2):
            with self.subTest(i=i): self.assertEqual(i, 2)
    @unittest.expectedFailure
    def test_unexpected(self): pass
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError
    def test_it(self): pass
"""


@pytest.mark.parametrize("option", [(), ("-v",)])
def test_a_run_of_unittest_is_read(tmp_path: Path, option: tuple[str, ...]) -> None:
    (tmp_path / "test_sums.py").write_text(UNITTEST)
    command = [sys.executable, "-B", "-m", "unittest", *option]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    names = failed_tests(ran(done.stdout, done.stderr)) or ()
    assert {name.partition(" ")[0] for name in names} == {
        "test_bad", "test_parts", "test_unexpected", "setUpClass",
    }  # fmt: skip
    assert len(names) == 4


NODE = """\
import test, { describe, it } from 'node:test'
import assert from 'node:assert'
test('bad', () => assert.equal(1, 2))
test('later', { todo: true }, () => assert.equal(1, 2))
describe('group', () => { it('inner', () => assert.ok(false)); it('fine', () => {}) })
"""
NODE_PARTS = "test('whole', async (t) => { await t.test('part', () => assert.ok(false)) })\n"


@pytest.mark.parametrize(
    ("reporter", "tests", "failed"),
    [
        ("tap", NODE, ["bad", "inner"]),
        ("tap", NODE + NODE_PARTS, ["bad", "inner", "part", "whole"]),
        ("spec", NODE, ["bad", "inner"]),
        # This report counts the test around the part, and does not name it.
        ("spec", NODE + NODE_PARTS, []),
    ],
)
def test_a_run_of_nodes_test_runner_is_read(
    tmp_path: Path, reporter: str, tests: str, failed: list[str]
) -> None:
    (tmp_path / "a.test.mjs").write_text(tests)
    command = ["node", "--test", f"--test-reporter={reporter}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    names = failed_tests(ran(done.stdout, done.stderr)) or ()
    assert [name.rpartition(" › ")[2] for name in names] == failed
