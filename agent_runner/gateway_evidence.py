"""Asks the gateway over its unix socket what providers answered, and rings its doorbell."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Protocol, cast

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_runner.models import Failure
from agent_runner.process.forward import connect_unix

BELL_TIMEOUT = 0.05
"""Seconds for connecting: a bell is not worth delaying the run."""
CONNECT_TIMEOUT = 2.0
"""Seconds, in which nothing else of the run happens. For a busy daemon, the kernel connects."""
EVIDENCE_TIMEOUT = 30.0
"""Seconds. The gateway answers from the daemon's event loop, which is slow on a busy machine, and
without evidence a closed account would pass for a failed task. If no daemon listens, nothing is
waited for."""

MAX_ANSWER_BYTES = 1_000_000
READ_BYTES = 64 * 1024
_ERROR_STATUS = 400


class _EvidenceModel(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)


class ErrorBody(_EvidenceModel):
    type: str | None = None
    code: str | None = None
    message: str | None = None
    body: str = ""


class RecordedAnswer(_EvidenceModel):
    """One answer of a provider, as the gateway recorded it."""

    at: datetime
    method: str = "POST"
    path: str = ""
    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    error: ErrorBody | None = None
    provider: str | None = None
    passthrough: bool = False
    model: str | None = None
    host: str | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None or self.status is None or self.status >= _ERROR_STATUS

    @property
    def is_model_call(self) -> bool:
        """Whether this is a call of a model. Counting tokens is free, and works on an empty
        account, so it says nothing of the account."""
        counts = self.path.partition("?")[0].endswith(("/count_tokens", ":countTokens"))
        return self.method == "POST" and self.provider is not None and not counts


class _Answers(_EvidenceModel):
    answers: list[RecordedAnswer]
    last: int = 0


@dataclass(frozen=True)
class Calls:
    """The model calls of some time: how many succeeded, and whether the last one failed."""

    answered: int
    last_failed: bool


class Evidence(Protocol):
    async def failures(self, since: datetime, provider: str | None = None) -> Sequence[Failure]:
        """The failures that the gateway has seen since then, the newest first; empty if it cannot
        be asked. Of one provider, if one is named."""
        ...

    async def calls(self, since: datetime, provider: str | None = None) -> Calls | None:
        """How the model calls since then ended; None if there were none, or the gateway cannot be
        asked. Of one provider, if one is named."""
        ...

    async def news(self, after: int, wait: float) -> int | None:
        """Wait until the gateway has an answer with a number beyond `after`, for `wait` seconds
        at most; its last number, or None if it cannot be asked."""
        ...


def last_failures(
    answers: Sequence[RecordedAnswer], since: datetime, provider: str | None = None
) -> list[Failure]:
    """The failures at the end of the answers, the newest first. A success clears what came before
    it. Only model calls count: an agent's other requests say nothing of its account."""
    # An error that an agent overcame is not why it stopped, so only the failures after the last
    # success are evidence.
    newest_first = reversed(_of_a_model(answers, since, provider))
    return [_failure(answer) for answer in takewhile(lambda a: a.failed, newest_first)]


def calls_in(
    answers: Sequence[RecordedAnswer], since: datetime, provider: str | None = None
) -> Calls | None:
    """How the model calls ended."""
    calls = _of_a_model(answers, since, provider)
    if not calls:
        return None
    return Calls(sum(not answer.failed for answer in calls), calls[-1].failed)


def _of_a_model(
    answers: Sequence[RecordedAnswer], since: datetime, provider: str | None
) -> list[RecordedAnswer]:
    return [
        answer
        for answer in answers
        if answer.at >= since and answer.is_model_call and provider in (None, answer.provider)
    ]


def _failure(answer: RecordedAnswer) -> Failure:
    error = answer.error or ErrorBody()
    return Failure(
        source="gateway",
        message=error.message or _no_message(answer.status),
        provider=answer.provider,
        status=answer.status,
        type=error.type,
        code=error.code,
        headers={k.lower(): v for k, v in answer.headers.items()},
        body=error.body,
        agent_credential=answer.passthrough,
        model=answer.model,
        host=answer.host,
    )


def _no_message(status: int | None) -> str:
    return "connection error: no answer came" if status is None else f"answered {status}"


@dataclass
class GatewayEvidence:
    """The gateway of this attempt, as `Evidence`."""

    path: Path
    token: str
    _last_bell: socket.socket | None = field(default=None, repr=False)

    def ring(self) -> None:
        """Tell the host that the journal grew. Waits for nothing; a bell that is lost does no harm,
        because the host also looks at intervals."""
        self.close()
        try:
            # The socket may be missing for a moment while a new daemon takes over.
            bell = connect_unix(str(self.path), BELL_TIMEOUT)
        except OSError:
            return
        try:
            bell.sendall(
                b"POST /rover/v1/bell HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n"
                b"Authorization: Bearer " + self.token.encode() + b"\r\nConnection: close\r\n\r\n"
            )
        except OSError:
            bell.close()
        else:
            # Kept open until the next bell: the gateway is still to write its answer to it.
            self._last_bell = bell

    def close(self) -> None:
        if self._last_bell is not None:
            self._last_bell.close()
            self._last_bell = None

    async def failures(self, since: datetime, provider: str | None = None) -> Sequence[Failure]:
        """See `Evidence.failures`."""
        evidence = await self._ask("", EVIDENCE_TIMEOUT)
        return last_failures(evidence.answers, since, provider) if evidence else ()

    async def calls(self, since: datetime, provider: str | None = None) -> Calls | None:
        """See `Evidence.calls`."""
        evidence = await self._ask("", EVIDENCE_TIMEOUT)
        return calls_in(evidence.answers, since, provider) if evidence else None

    async def news(self, after: int, wait: float) -> int | None:
        """See `Evidence.news`."""
        evidence = await self._ask(f"?after={after}&wait={wait:g}", wait + EVIDENCE_TIMEOUT)
        return evidence.last if evidence else None

    async def _ask(self, query: str, timeout: float) -> _Answers | None:  # noqa: ASYNC109
        """The evidence; None if the gateway cannot be asked. Not in a thread: one that waits for
        news cannot be stopped, and the runner's end would wait for it."""
        try:
            with anyio.fail_after(timeout):
                return _Answers.model_validate_json(_body(await self._get(query)))
        except (OSError, http.client.HTTPException, ValidationError):
            return None

    async def _get(self, query: str) -> bytes:
        with contextlib.closing(connect_unix(str(self.path), CONNECT_TIMEOUT)) as connection:
            connection.sendall(
                f"GET /rover/v1/evidence{query} HTTP/1.1\r\nHost: gateway\r\n"
                f"Authorization: Bearer {self.token}\r\nConnection: close\r\n\r\n".encode()
            )
            connection.setblocking(False)
            received = bytearray()
            # The gateway is trusted, but what it repeats are answers of providers and of whoever
            # stands in for one.
            while len(received) < MAX_ANSWER_BYTES:
                await anyio.wait_readable(connection)
                if not (data := connection.recv(READ_BYTES)):
                    break
                received += data
            return bytes(received)


class _BufferedResponse:
    """An answer in memory, in the form that http.client reads: a socket with a file."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self._content)


def _body(answer: bytes) -> bytes:
    response = http.client.HTTPResponse(cast(socket.socket, _BufferedResponse(answer)))
    response.begin()
    return response.read()
