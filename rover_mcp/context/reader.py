"""Reads everything that a call names as context: all of it, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rover_mcp.context.fetch import Fetcher, FetchFailed
from rover_mcp.context.github import github_api, read_github
from rover_mcp.context.gitlab import gitlab_api, read_gitlab
from rover_mcp.context.page import MAX_PAGE, file_piece, page_piece
from rover_mcp.context.pieces import MAX_IMAGE, Piece, Trust, within_limits
from rover_mcp.context.tokens import forge_token
from rover_mcp.context.written_references import (
    FileReference,
    Forge,
    ForgeReference,
    PageReference,
    Reference,
    parse_reference,
)
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.domain.text import visible_line
from rover_mcp.gateway.dialer import InternetDialer
from rover_mcp.gateway.internet import Internet, Network, UpstreamProxy

MAX_REFERENCES: Final = 20


@dataclass(frozen=True)
class ContextCall:
    """Who asks, from where: the working folder, the environment, the addresses of the
    repository's remotes, and whose comments are read. `is_local`: the caller is the user of this
    machine, who may name its files, and whose sign-in at a forge is used."""

    folder: Path
    environment: Mapping[str, str]
    remotes: Sequence[str]
    trust: Trust
    is_local: bool = True


class ContextReader:
    """`own_hosts` are the entries of the user's own allow-list, which may be private addresses."""

    def __init__(
        self,
        own_hosts: Sequence[str] = (),
        network: Network | None = None,
        token: Callable[[ForgeReference, Mapping[str, str]], str | None] = forge_token,
        make_fetcher: Callable[[InternetDialer], Fetcher] = Fetcher,
    ) -> None:
        self._own_hosts = own_hosts
        self._network = network
        self._token = token
        self._make_fetcher = make_fetcher

    def read(self, names: Sequence[str], call: ContextCall) -> list[Piece]:
        """Read the pieces, in the order of their names. Blocks; called in a worker thread.

        Raises:
            UserFixable: a reference is written wrongly, a file cannot be read, or they are too
                much.
            EnvironmentFault: something could not be fetched. Nothing was kept.
        """
        if len(names) > MAX_REFERENCES:
            raise UserFixable(
                f"context names {len(names)} items; a task takes at most {MAX_REFERENCES}",
                code="invalid_context",
                hint="leave out what the task does not need",
            )
        # All of them are parsed before the first one is fetched, so that a typing mistake costs no
        # time.
        references = [parse_reference(name, call.remotes, call.environment) for name in names]
        # A loop of its own: this is a worker thread, and the daemon's loop must not wait for a slow
        # server.
        pieces = asyncio.run(self._read_every(references, call))
        if (problem := within_limits(pieces)) is not None:
            raise UserFixable(
                f"the context is too large: {problem}",
                code="invalid_context",
                hint="leave out what the task does not need",
            )
        return pieces

    async def _read_every(self, references: Sequence[Reference], call: ContextCall) -> list[Piece]:
        dialer = InternetDialer(
            self._network or Internet(),
            lambda host: UpstreamProxy.of(call.environment, host),
            self._own_hosts,
        )
        fetcher = self._make_fetcher(dialer)
        pieces: list[Piece] = []
        for reference in references:
            try:
                pieces += await self._read(reference, call, fetcher)
            # All or nothing: an agent without the issue that it is to fix would work on a guess.
            except FetchFailed as error:
                raise EnvironmentFault(
                    f"the context {_shown(reference)} could not be fetched: {error}",
                    code="context_not_fetched",
                    hint="nothing was created. Correct this and call again, or leave it out",
                ) from error
        return pieces

    async def _read(self, reference: Reference, call: ContextCall, fetcher: Fetcher) -> list[Piece]:
        match reference:
            case FileReference(path):
                return [_read_file(path, call)]
            case PageReference(address):
                return [page_piece(await fetcher.get(address, MAX_PAGE))]
            case ForgeReference():
                token = None
                # Over HTTP the caller is someone else, who must not read with this user's rights.
                if call.is_local:
                    token = await asyncio.to_thread(self._token, reference, call.environment)
                if reference.forge is Forge.GITHUB:
                    return await read_github(github_api(fetcher, reference, token), call.trust)
                return await read_gitlab(gitlab_api(fetcher, reference, token), call.trust)


def _read_file(path: str, call: ContextCall) -> Piece:
    shown = visible_line(path)
    if not call.is_local:
        raise UserFixable(
            f"context {shown!r}: only a caller on this machine may name files",
            code="invalid_context",
            hint="give its text in the description",
        )
    file = call.folder / Path(path).expanduser()
    try:
        if not file.is_file():
            why = "it is a folder, not a file" if file.is_dir() else "there is no such file"
            raise UserFixable(
                f"context {shown!r}: {why}",
                code="invalid_context",
                hint=f"paths are relative to {call.folder}",
            )
        with file.open("rb") as opened:
            # One byte more than allowed shows that a file is too large, even one that grows or has
            # no end.
            data = opened.read(MAX_IMAGE + 1)
    except (OSError, ValueError) as error:
        raise UserFixable(
            f"context {shown!r} cannot be read: {error}", code="invalid_context"
        ) from error
    if len(data) > MAX_IMAGE:
        raise UserFixable(
            f"context {shown!r} is larger than {MAX_IMAGE:,} bytes", code="invalid_context"
        )
    try:
        return file_piece(str(file), data)
    except FetchFailed as error:
        raise UserFixable(f"context {shown!r}: {error}", code="invalid_context") from error


def _shown(reference: Reference) -> str:
    match reference:
        case FileReference(path):
            return visible_line(path)
        case PageReference(address):
            return visible_line(address)
        case ForgeReference():
            return reference.address
