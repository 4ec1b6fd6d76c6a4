"""What the gateway saw, asked over its unix socket; and the doorbell that is rung there."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_runner.agents.protocol import Failure
from agent_runner.forward import connect_unix

BELL_TIMEOUT = 0.05
EVIDENCE_TIMEOUT = 2.0
"""Seconds. Evidence is worth a short wait; a bell is not worth holding up the run."""

MAX_ANSWER_BYTES = 1_000_000
_ERROR_STATUS = 400


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ErrorBody(_Model):
    type: str | None = None
    code: str | None = None
    message: str | None = None


class Answer(_Model):
    """One answer of a provider, as the gateway passed it on."""

    at: datetime
    method: str = "POST"
    path: str = ""
    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    error: ErrorBody | None = None
    provider: str | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None or self.status is None or self.status >= _ERROR_STATUS

    @property
    def is_model_call(self) -> bool:
        """Counting tokens is free and works on an empty account."""
        counts = self.path.partition("?")[0].endswith(("/count_tokens", ":countTokens"))
        return self.method == "POST" and self.provider is not None and not counts


class _Answers(_Model):
    answers: list[Answer]


class Evidence(Protocol):
    async def failures(self, since: datetime) -> Sequence[Failure]:
        """What the gateway saw fail since then, the newest first; empty if it cannot be asked."""
        ...


def last_failures(answers: Sequence[Answer], since: datetime) -> list[Failure]:
    """The failures at the end of the answers, the newest first. A success clears what was before
    it, and only calls of a model count: an agent's other requests say nothing of its account."""
    found: list[Failure] = []
    for answer in reversed(answers):
        if answer.at < since:
            break
        if not answer.is_model_call:
            continue
        if not answer.failed:
            break
        found.append(_failure(answer))
    return found


def _failure(answer: Answer) -> Failure:
    error = answer.error or ErrorBody()
    return Failure(
        source="gateway",
        message=error.message or _no_message(answer.status),
        provider=answer.provider,
        status=answer.status,
        type=error.type,
        code=error.code,
        headers={k.lower(): v for k, v in answer.headers.items()},
    )


def _no_message(status: int | None) -> str:
    return "connection error: no answer came" if status is None else f"answered {status}"


@dataclass
class GatewayEvidence:
    """The gateway as the runner uses it."""

    path: Path
    token: str
    _last_bell: socket.socket | None = field(default=None, repr=False)

    def ring(self) -> None:
        """Say that the journal grew. Waits for nothing; whether it was heard does not matter,
        because the host also looks by itself."""
        self.close()
        try:
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
            # Kept open until the next one, so that the gateway can answer in peace.
            self._last_bell = bell

    def close(self) -> None:
        if self._last_bell is not None:
            self._last_bell.close()
            self._last_bell = None

    async def failures(self, since: datetime) -> Sequence[Failure]:
        try:
            body = await anyio.to_thread.run_sync(self._get, abandon_on_cancel=True)
            return last_failures(_Answers.model_validate_json(body).answers, since)
        except (OSError, http.client.HTTPException, ValidationError):
            return ()

    def _get(self) -> bytes:
        connection = _UnixConnection(self.path, EVIDENCE_TIMEOUT)
        with contextlib.closing(connection):
            headers: Mapping[str, Any] = {"Authorization": f"Bearer {self.token}"}
            connection.request("GET", "/rover/v1/evidence", headers=headers)
            return connection.getresponse().read(MAX_ANSWER_BYTES)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("gateway", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = connect_unix(str(self._path), self.timeout)
