"""The same questions to a gateway that does hold a key, for an agent that may use its provider."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rover_mcp.gateway.grant import ProviderAccess
from tests.attacks.attack import PWNED, Attack, fill
from tests.attacks.classes.credentials import CLASS, GATEWAY
from tests.attacks.stage import Provider
from tests.unit.gateway.open_gateway import KEY, TOKEN, open_gateway

ASKED = [a for a in CLASS.attacks if GATEWAY in a.commands]


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.mark.known_escape(6)
@pytest.mark.parametrize("attack", ASKED, ids=lambda a: a.name)
def test_the_key_is_neither_told_nor_lent(
    tmp_path: Path, provider: Provider, attack: Attack
) -> None:
    access = ProviderAccess(provider.url, "x-api-key", KEY, "account")
    (tmp_path / "spec.json").write_text(json.dumps({"gateway": {"token": TOKEN}}))
    env = {"ROVER_SPEC": str(tmp_path), "ROVER_GATEWAY": str(tmp_path / "g.sock")}

    async def play() -> str:
        async with open_gateway(tmp_path / "g.sock", access):
            text = fill(attack.commands, {"VICTIM_TOKEN": "rover-" + "0" * 48})
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", text, env=env,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await process.communicate()
            assert process.returncode == 0, said.decode()
            return said.decode()

    said = asyncio.run(play())
    assert PWNED not in said, said
    assert KEY not in said
    paths = {path.partition("?")[0] for _, path, _ in provider.requests}
    assert paths <= {"/v1/messages", "/v1/models"}
    assert all(headers["x-api-key"] == KEY for _, _, headers in provider.requests)
    assert not any(TOKEN in str(headers) for _, _, headers in provider.requests)
    if attack.name == "gateway-tells":
        assert "/v1/messages" in paths, "the gateway was not there"
