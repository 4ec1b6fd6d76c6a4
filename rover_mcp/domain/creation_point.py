"""The places in the creation of a task at which a test kills the daemon."""

from __future__ import annotations

from enum import StrEnum


class CreationPoint(StrEnum):
    """See agent_runner/crashpoints.py."""

    FILES_WRITTEN = "creation-files-written"
    """its files are there, its record is not"""
    RECORDED = "creation-recorded"
    """its record is there, its first attempt is not in the queue"""
