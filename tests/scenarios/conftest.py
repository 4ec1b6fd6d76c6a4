"""A scenario says what it found where it expected something else."""

import pytest

pytest.register_assert_rewrite("tests.scenarios.stopped", "tests.scenarios.work")
