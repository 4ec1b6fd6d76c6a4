from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rover_mcp.context.fetch import Fetcher
from rover_mcp.context.pieces import Piece, Trust
from rover_mcp.context.reader import ContextCall, ContextReader
from rover_mcp.context.written_references import ForgeReference
from tests.support.fake_internet import FakeInternet
from tests.support.web_server import WebServer, web_server

NAMES = ("github.com", "api.github.com", "gitlab.com", "git.example.org", "pages.example.org")


@dataclass
class ContextHarness:
    """A reader whose whole internet is one server on loopback."""

    server: WebServer
    internet: FakeInternet
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    def _token(self, reference: ForgeReference, _: Mapping[str, str]) -> str | None:
        return self.tokens.get(reference.authority)

    def read(
        self, *names: str, trust: Trust | None = None, folder: Path = Path("/"), remote: str = ""
    ) -> list[Piece]:
        reader = ContextReader(
            network=self.internet,
            token=self._token,
            make_fetcher=lambda dialer: Fetcher(dialer, self.server.trusted),
        )
        remotes = [remote] if remote else []
        return reader.read(names, ContextCall(folder, {}, remotes, trust or Trust()))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ContextHarness]:
    internet = FakeInternet()
    with web_server(tmp_path, *NAMES) as server:
        for name in NAMES:
            internet.host(name, 443, server.port)
        yield ContextHarness(server, internet)
