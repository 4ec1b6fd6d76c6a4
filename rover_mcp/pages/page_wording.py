"""Numbers and times in words, the same on every page. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from rover_mcp.domain.utc_time import utc_minute

NO_PRICE: Final = "no price known"
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 file`, `2,000 files`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def tokens(number: int) -> str:
    """A number of tokens: `950`, `12.3 k`, `1.24 M`."""
    if number < 1000:
        return str(number)
    if number < 999_950:
        return f"{number / 1000:.1f} k"
    return f"{number / 1_000_000:,.2f} M"


def cost(usd: float | None) -> str:
    """An amount of money: `$0.42`; below a cent `under $0.01`. None: no price is known."""
    if usd is None:
        return NO_PRICE
    if 0 < usd < 0.01:
        return "under $0.01"
    return f"${usd:,.2f}"


def of_bytes(number: int) -> str:
    """A size: `512 bytes`, `1.5 KB`, `20.0 MB`. A KB has 1,024 bytes."""
    size = float(number)
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} {_UNITS[-1]}"


def moment(at: datetime) -> str:
    """A point in time, in UTC, to the minute: `2026-11-30 21:40Z`."""
    return utc_minute(at.astimezone(UTC))
