"""Rover's own server over HTTP, as `rover-mcp --http` serves it, on both wires."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conformance.relay import with_token
from tests.conformance.scenarios import EMPTY, NOT_OURS, PASSED, TASKS, UNMET, as_markdown
from tests.conformance.suite import listed, run_scenario
from tests.e2e.conftest import end_daemon
from tests.support.http_front import HttpFront, token_of
from tests.support.repos import make_repository

CASES = [(version, name) for version, scenarios in PASSED.items() for name in scenarios]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("conformance")
    home, repository = folder / "data", make_repository(folder / "repo")
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text(json.dumps({"http": {"projects": [str(repository)]}}))
    token = token_of(home, "suite")
    with HttpFront(home) as front:
        parts = urlsplit(front.url)
        with with_token((str(parts.hostname), parts.port or 0), token) as relayed:
            yield relayed
    end_daemon(home)


@pytest.mark.parametrize(("version", "scenario"), CASES)
def test_the_server_conforms(url: str, version: str, scenario: str) -> None:
    outcome = run_scenario(url, scenario, "--spec-version", version)
    assert outcome.passed == PASSED[version][scenario], outcome.text
    assert outcome.unmet == set(UNMET.get(scenario, ())), outcome.text


def test_every_scenario_of_the_suite_is_accounted_for() -> None:
    """What a later suite adds is looked at, and not passed over."""
    ours = {name for scenarios in PASSED.values() for name in scenarios}
    parts = [ours, set(EMPTY), set(NOT_OURS), set(TASKS)]
    assert sum(map(len, parts)) == len(set().union(*parts)), "one is in two places"
    assert set().union(*parts) == set(listed())


def test_the_page_is_what_is_run() -> None:
    page = Path(__file__).parents[2] / "docs" / "conformance.md"
    assert page.read_text("utf-8") == "\n".join(as_markdown()) + "\n"
