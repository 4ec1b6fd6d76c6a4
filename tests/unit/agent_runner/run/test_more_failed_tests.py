"""Which tests failed, by what RSpec 3.12, minitest 5.17, PHPUnit 9.6, Surefire 2.22 and Gradle 4.4
printed; Surefire 3's lines are in its documented form."""

from __future__ import annotations

import pytest

from agent_runner.run.failed_tests import failed_tests

RSPEC = """\
.hello
F*

Failures:

  1) sum bad
     Failure/Error: it("bad") { puts "hello"; expect(1).to eq 2 }

       expected: 2
            got: 1

       (compared using ==)
     # ./spec/a_spec.rb:3:in `block (2 levels) in <top (required)>'

  2) sum twice
     Failure/Error: [1, 2].each { |x| it("twice") { expect(x).to eq 0 } }

       expected: 0
            got: 1

Finished in 0.08391 seconds (files took 0.38059 seconds to load)
4 examples, 2 failures, 1 pending

Failed examples:

rspec ./spec/a_spec.rb:3 # sum bad
rspec ./spec/a_spec.rb[1:6] # sum twice

Randomized with seed 1

Coverage report generated for RSpec to /x/coverage. 9 / 10 LOC (90.0%) covered.
"""
MINITEST = """\
Run options: --seed 1

# Running:

F.hello
FE

Finished in 0.007705s, 648.9053 runs/s, 389.3432 assertions/s.

  1) Failure:
sum#test_0001_is bad [test_a.rb:9]:
Expected: 2
  Actual: 1

  2) Failure:
TestSum#test_bad [test_a.rb:4]:
Expected: 1
  Actual: 2

  3) Error:
TestSum#test_breaks:
RuntimeError: x
    test_a.rb:5:in `test_breaks'

5 runs, 3 assertions, 2 failures, 1 errors, 1 skips

You have skipped tests. Run with --verbose for details.
"""
RAKE_ERR = """\
rake aborted!
Command failed with status (1)

Tasks: TOP => default => test
(See full trace by running task with --trace)
"""
PHPUNIT = """\
PHPUnit 9.6.7 by Sebastian Bergmann and contributors.

.FhelloESR.F                                                        8 / 8 (100%)

Time: 00:00.020, Memory: 4.00 MB

There was 1 error:

1) SumTest::testBreaks
Exception: x

/x/tests/SumTest.php:6

--

There were 2 failures:

1) SumTest::testBad
Failed asserting that 2 is identical to 1.

/x/tests/SumTest.php:5

2) SumTest::testRow with data set "two" (2)
Failed asserting that 2 is identical to 1.

/x/tests/SumTest.php:10

--

There was 1 risky test:

1) SumTest::testRisky
This test did not perform any assertions

/x/tests/SumTest.php:8

ERRORS!
Tests: 8, Assertions: 5, Errors: 1, Failures: 2, Skipped: 1, Risky: 1.
"""
MAVEN = """\
[INFO] Scanning for projects...
[INFO]  T E S T S
[INFO] -------------------------------------------------------
[INFO] Running p.OtherTest
[ERROR] Tests run: 1, Failures: 0, Errors: 1, Skipped: 0, Time elapsed: 0.221 s <<< FAILURE! - in p.OtherTest
[ERROR] p.OtherTest  Time elapsed: 0.203 s  <<< ERROR!
java.lang.IllegalStateException: before
\tat p.OtherTest.before(OtherTest.java:4)

[INFO] Running p.SumTest
hello
[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 1, Time elapsed: 0.015 s <<< FAILURE! - in p.SumTest
[ERROR] bad(p.SumTest)  Time elapsed: 0.004 s  <<< FAILURE!
java.lang.AssertionError: expected:<1> but was:<2>
\tat p.SumTest.bad(SumTest.java:6)

[INFO] Results:
[ERROR] Failures:
[ERROR]   SumTest.bad:6 expected:<1> but was:<2>
[ERROR] Errors:
[ERROR]   OtherTest.before:4 IllegalState before
[ERROR] Tests run: 4, Failures: 1, Errors: 1, Skipped: 1
[INFO] BUILD FAILURE
[INFO] Total time:  19.664 s
[ERROR] Failed to execute goal org.apache.maven.plugins:maven-surefire-plugin:2.22.3:test (default-test) on project a: There are test failures.
[ERROR]
[ERROR] Please refer to /x/target/surefire-reports for the individual test results.
[ERROR] -> [Help 1]
[ERROR] Re-run Maven using the -X switch to enable full debug logging.
"""
SUREFIRE_3 = MAVEN.replace(
    "bad(p.SumTest)  Time elapsed: 0.004 s  <<<", "p.SumTest.bad -- Time elapsed: 0.004 s <<<"
)
GRADLE = """\
:test

p.OtherTest > classMethod FAILED
    java.lang.IllegalStateException at OtherTest.java:4

p.SumTest > bad FAILED
    java.lang.AssertionError at SumTest.java:6
:test FAILED
2 actionable tasks: 2 executed
"""
GRADLE_ERR = """\
WARNING: System::setSecurityManager will be removed in a future release

5 tests completed, 2 failed, 1 skipped

FAILURE: Build failed with an exception.

* What went wrong:
Execution failed for task ':test'.
> There were failing tests. See the report at: file:///x/build/reports/tests/test/index.html

* Try:
Run with --stacktrace option to get the stack trace.

BUILD FAILED in 24s
"""
RUBY_NAMES = ("sum#test_0001_is bad", "TestSum#test_bad", "TestSum#test_breaks")
PHP_NAMES = (
    "SumTest::testBreaks",
    "SumTest::testBad",
    'SumTest::testRow with data set "two" (2)',
)


@pytest.mark.parametrize(
    ("out", "err", "names"),
    [
        (RSPEC, "", ("./spec/a_spec.rb › sum bad", "./spec/a_spec.rb › sum twice")),
        (MINITEST, "", RUBY_NAMES),
        (MINITEST, RAKE_ERR, RUBY_NAMES),
        (PHPUNIT, "", PHP_NAMES),
        (MAVEN, "", ("p.OtherTest", "bad(p.SumTest)")),
        (SUREFIRE_3, "", ("p.OtherTest", "p.SumTest.bad")),
        (GRADLE, GRADLE_ERR, ("p.OtherTest > classMethod", "p.SumTest > bad")),
    ],
)
def test_names_are_read_where_they_are_complete(out: str, err: str, names: tuple[str, ...]) -> None:
    """A.2."""
    assert failed_tests({"stdout": out, "stderr": err}) == names


@pytest.mark.parametrize(
    ("out", "err"),
    [
        # An error outside of the examples, a name that is hidden, another program.
        (RSPEC.replace("1 pending", "1 pending, 1 error occurred outside of examples"), ""),
        (RSPEC.replace("rspec ./spec/a_spec.rb:3 # sum bad\n", ""), ""),
        (RSPEC.replace("# sum bad", "# sum\nbad"), ""),
        (RSPEC + "3 offenses detected\n", ""),
        (RSPEC, "Line coverage (90.00%) is below the expected minimum coverage (95.00%).\n"),
        (MINITEST.replace("1 errors", "2 errors"), ""),
        (MINITEST + "3 offenses detected\n", ""),
        (MINITEST, RAKE_ERR + "ld: cannot find -lx\n"),
        (MINITEST + MINITEST, ""),
        # The message of a test looks like a name.
        (PHPUNIT.replace("Exception: x", "Exception: x\n2) SumTest::testOld"), ""),
        (PHPUNIT.replace("Exception: x", "Exception: x\n1) SumTest::testOld"), ""),
        (PHPUNIT.replace("Risky: 1", "Warnings: 1"), ""),
        (PHPUNIT + "3 problems\n", ""),
        (MAVEN.replace("Failures: 1, Errors: 1, Skipped: 1\n", "Failures: 1, Errors: 2, Skipped: 1\n"), ""),
        (MAVEN.replace("surefire-plugin", "checkstyle-plugin"), ""),
        (MAVEN.replace("There are test failures.", "The forked VM terminated."), ""),
        (MAVEN, "cc: no\n"),
        (GRADLE, GRADLE_ERR.replace("2 failed", "3 failed")),
        (GRADLE, GRADLE_ERR.replace("There were failing tests.", "Compilation failed.")),
        (GRADLE, GRADLE_ERR + "* What went wrong:\nExecution failed for task ':lint'.\n"),
    ],
)  # fmt: skip
def test_other_names_are_not_believed(out: str, err: str) -> None:
    """A.2."""
    assert failed_tests({"stdout": out, "stderr": err}) is None
