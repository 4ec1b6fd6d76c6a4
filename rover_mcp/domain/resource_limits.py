"""Upper limits for what one sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceLimits:
    """Upper limits of one sandbox: bytes, cores, processes."""

    memory_bytes: int = 4 * 1024**3
    cpus: float = 2.0
    pids: int = 1024
    tmp_bytes: int = 1024**3
    shm_bytes: int = 256 * 1024**2
    file_bytes: int = 4 * 1024**3
