"""What a reported error means to Rover: the very readers, rules and times of a run, without one."""

from __future__ import annotations

from rover_mcp.explain.answers import Explained, Rejected, explain
from rover_mcp.explain.cases import Case, parse

__all__ = ["Case", "Explained", "Rejected", "explain", "parse"]
