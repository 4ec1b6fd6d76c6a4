from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk import ServerHarness, open_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServerHarness]:
    with open_desk(tmp_path) as made:
        yield made
