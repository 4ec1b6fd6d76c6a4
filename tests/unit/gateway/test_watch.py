"""Evidence that is waited for: the runner hears of an answer as it comes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.gateway.evidence import CallEvidence
from rover_mcp.gateway.grant import ProviderAnswer, ProviderError
from rover_mcp.gateway.routes import MAX_WATCH_SECONDS, EvidenceWait, watch
from tests.support.fake_anthropic import FakeAnthropic, overloaded, text
from tests.support.samples import NOW

from .open_gateway import TOKEN, OpenGateway, through

ANSWER = ProviderAnswer(NOW, "POST", "/anthropic/v1/messages", 200)
FAILED = ProviderAnswer(
    NOW, "POST", "/anthropic/v1/messages", 200, error=ProviderError("x", None, "no")
)


async def asked(here: OpenGateway, query: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return (await here.client.get(f"/rover/v1/evidence{query}", headers=headers)).json()


def test_it_answers_when_there_is_a_newer_answer(path: Path) -> None:
    async def work(here: OpenGateway, _: FakeAnthropic) -> None:
        waiting = asyncio.ensure_future(asked(here, "?after=0&wait=60"))
        assert (await asked(here, "?after=0"))["last"] == 0
        assert not waiting.done()
        await here.ask()
        async with asyncio.timeout(300):
            found = await waiting
        assert found["last"] == 1
        assert found["answers"][0]["status"] == 529
        assert found["answers"][0]["error"]["type"] == "overloaded_error"
        # What is there already is told at once, also to one that counts from an earlier gateway.
        async with asyncio.timeout(300):
            assert (await asked(here, "?after=0&wait=60"))["last"] == 1
            assert (await asked(here, "?after=7&wait=60"))["last"] == 1
            assert (await asked(here, "?after=1&wait=0.01"))["last"] == 1

    through(path, [overloaded(), text()], work)


def test_an_answer_that_only_began_says_nothing_yet() -> None:
    """Its number comes with its end, or with its error if that is earlier, and once."""

    async def run() -> None:
        records = CallEvidence()
        key = records.add(ANSWER)
        records.update(key, ANSWER)
        assert records.last == 0
        waiting = asyncio.ensure_future(records.wait(EvidenceWait(0, 60)))
        await asyncio.sleep(0)
        records.update(key, FAILED)
        async with asyncio.timeout(300):
            await waiting
        records.complete(key, FAILED)
        assert records.last == 1
        records.complete(records.add(ANSWER), ANSWER)
        records.complete(records.add(FAILED), FAILED)
        assert records.last == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("?after=3", None),
        ("?after=3&wait=0", None),
        ("?after=x&wait=1", None),
        ("?after=3&wait=nan", None),
        ("?wait=2.5", EvidenceWait(0, 2.5)),
        ("?after=3&wait=1e9", EvidenceWait(3, MAX_WATCH_SECONDS)),
    ],
)
def test_how_long_is_bounded(query: str, expected: EvidenceWait | None) -> None:
    assert watch("/rover/v1/evidence" + query) == expected
