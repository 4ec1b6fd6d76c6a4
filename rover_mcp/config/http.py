"""Settings of `rover-mcp --http`: who may come, for what, and how much at a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
Scope = Literal["read", "write"]
ALL_SCOPES: tuple[Scope, ...] = ("read", "write")


class _HttpModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HttpToken(_HttpModel):
    """A bearer token and whose it is. Exactly one of token_file, token_env and sha256."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    """the user, who sees the tasks made under this name; one user may have several tokens"""
    scopes: tuple[Scope, ...] = ALL_SCOPES
    """read, or read and write; without write only the tools that change nothing are there"""
    token_file: str | None = None
    """a file that holds the token alone"""
    token_env: str | None = None
    """a variable of the daemon's environment"""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """of the token, in hexadecimal; for tokens that are long and random"""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if sum(s is not None for s in (self.token_file, self.token_env, self.sha256)) != 1:
            raise ValueError("give exactly one of token_file, token_env, sha256")
        if "read" not in self.scopes:
            raise ValueError("scopes are read, or read and write")
        return self


class HttpSettings(_HttpModel):
    """All of it is read when `rover-mcp --http` starts. Times in seconds, sizes in bytes."""

    tokens: tuple[HttpToken, ...] = ()
    """see below; beside those of `rover token new`"""
    projects: tuple[Path, ...] = ()
    """absolute paths of the repositories that tasks may be made for over HTTP"""
    allow_remote: bool = False
    """true: an address that is not loopback may be given. Rover speaks no TLS: put a proxy that
    does in front of it"""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """how clients name the endpoint, where that is not its address: behind a proxy"""
    allowed_hosts: tuple[str, ...] = ()
    """values of the header Host, beside loopback and public_url; `name:*` is any port"""
    allowed_origins: tuple[str, ...] = ()
    """values of the header Origin, beside loopback; `https://name:*` is any port"""
    issuer: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """an OAuth authorization server that the metadata names; Rover itself checks no tokens of it"""
    max_connections: int = Field(default=256, gt=0)
    """open at a time; beyond, 503"""
    max_sessions: int = Field(default=64, gt=0)
    """sessions of a user with protocol versions before 2026-07-28; beyond, 429"""
    max_requests: int = Field(default=32, gt=0)
    """of a user at a time, open streams included; beyond, 429"""
    max_body_bytes: int = Field(default=8 * 1024**2, gt=0)
    """one message; beyond, 413"""
    session_idle: float = Field(default=1800, gt=0)
    """a session ends after so long without a request or an open stream"""

    @field_validator("projects")
    @classmethod
    def _absolute(cls, projects: tuple[Path, ...]) -> tuple[Path, ...]:
        expanded = tuple(path.expanduser() for path in projects)
        for path in expanded:
            if not path.is_absolute():
                raise ValueError(f"{path} is not an absolute path")
        return expanded
