"""Every limit and default, by name. A data folder's `config.yaml` may set any of them.

home/config.yaml
    engine: auto
    concurrency: 2
    retry: {max_auto_retries: 5}
    credentials: {anthropic: {command: "pass show anthropic"}}
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rover_mcp.errors import EnvironmentFault


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetrySettings(_Model):
    """Automatic resumption (ACCEPTANCE K2, K3). Times in seconds."""

    max_auto_retries: int = Field(default=5, ge=0)
    transient_first: float = Field(default=60, gt=0)
    transient_most: float = Field(default=3600, gt=0)
    credits_first: float = Field(default=900, gt=0)
    credits_most: float = Field(default=6 * 3600, gt=0)
    interrupted_first: float = Field(default=2, gt=0, description="after a killed sandbox")
    jitter: float = Field(default=0.1, ge=0, le=1, description="share of the delay that is random")


class CredentialSource(_Model):
    """Where a provider's key comes from when no client supplies it. Exactly one of them."""

    env: str | None = None
    file: str | None = None
    command: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError("give exactly one of env, file, command")
        return self


class Settings(_Model):
    """One data folder's settings."""

    home: Path
    engine: Literal["auto", "docker", "bubblewrap"] = "auto"
    base_image: str = "debian:bookworm-slim"
    concurrency: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 2)), ge=1)
    auto_resume: bool = True
    retry: RetrySettings = RetrySettings()
    credentials: dict[str, CredentialSource] = Field(default_factory=dict[str, CredentialSource])
    sandbox_memory_bytes: int = Field(default=4 * 1024**3, gt=0)
    sandbox_cpus: float = Field(default=2.0, gt=0)
    sandbox_pids: int = Field(default=1024, gt=0)
    stop_grace: float = Field(default=20, gt=0, description="from SIGTERM to SIGKILL of a sandbox")
    sweep_interval: float = Field(default=30, gt=0, description="the slow reconciliation (L7)")
    queue_poll: float = Field(default=0.05, gt=0, description="after a client's call")
    queue_poll_idle: float = Field(default=1.0, gt=0, description="otherwise")
    queue_eager: float = Field(default=15, gt=0, description="for so long after a call")
    idle_exit: float = Field(
        default=5, gt=0, description="the daemon ends after this long with nothing to do"
    )
    min_free_bytes: int = Field(default=200 * 1024**2, ge=0, description="below it: no new task")
    attention_limit: int = Field(default=10, gt=0)
    max_frame_bytes: int = Field(default=16 * 1024**2, gt=0)


def load_settings(home: Path) -> Settings:
    """Settings of the data folder `home`; defaults where config.yaml does not exist.

    Raises:
        EnvironmentFault: config.yaml cannot be read or holds something unknown.
    """
    path = home / "config.yaml"
    try:
        raw: object = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        raw = {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EnvironmentFault(
            f"{path} cannot be read: {error}", hint="correct the file"
        ) from error
    if not isinstance(raw, dict):
        raise EnvironmentFault(f"{path} must hold a mapping", hint="correct the file")
    try:
        return Settings.model_validate({**raw, "home": home})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EnvironmentFault(
            f"{path}: {where}: {first['msg']}", hint="correct or remove this setting"
        ) from error
