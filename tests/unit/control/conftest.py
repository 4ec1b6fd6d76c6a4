from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attempts_site import ControlHarness, open_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ControlHarness]:
    with open_site(tmp_path) as site:
        yield site
