"""Logs of programs that outlive the daemon are cut where they stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rover_mcp.sandbox import podman_service
from rover_mcp.sandbox.podman_service import MAX_LOG_BYTES, PodmanService
from rover_mcp.sandbox.supervise import LOG_BYTES, LOG_KEPT_BYTES, cut_log


def test_a_runners_log_keeps_its_end(tmp_path: Path) -> None:
    """At 700cc57 it grew without a bound. The runner goes on to append."""
    log = tmp_path / "runner.log"
    with log.open("ab", buffering=0) as runner:
        runner.write(b"x" * LOG_BYTES)
        cut_log(log)
        assert log.stat().st_size == LOG_BYTES
        runner.write(b"the end")
        cut_log(log)
        runner.write(b" and more")
    assert log.stat().st_size == LOG_KEPT_BYTES + len(" and more")
    assert log.read_bytes().endswith(b"xthe end and more")
    cut_log(tmp_path / "missing")


def test_podmans_log_is_emptied_where_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podman_service.docker_api, "answers", lambda _: True)
    service = PodmanService(tmp_path)
    service.ensure()
    log = tmp_path / "podman.log"
    for size, left in ((MAX_LOG_BYTES, MAX_LOG_BYTES), (MAX_LOG_BYTES + 1, 0)):
        log.write_bytes(b"")
        os.truncate(log, size)
        service.ensure()
        assert log.stat().st_size == left
