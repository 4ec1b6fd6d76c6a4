"""The name of a JSON object's type."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
"""A JSON object as `json` reads it: names with values of any kind."""
