"""The gateway: the only way from a sandbox to the outside. docs/gateway.md."""

from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.models import (
    Answer,
    Entry,
    GatewayLease,
    ProviderAccess,
    ProviderError,
    Refusal,
)
from rover_mcp.gateway.providers import missing_credential

__all__ = [
    "Answer",
    "Entry",
    "Gateway",
    "GatewayLease",
    "ProviderAccess",
    "ProviderError",
    "Refusal",
    "missing_credential",
]
