"""The gateway: the only way from a sandbox to the outside. docs/gateway.md."""

from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.models import (
    Answer,
    GatewayLease,
    ProviderAccess,
    ProviderError,
    Refusal,
)
from rover_mcp.gateway.providers import missing_credential

__all__ = [
    "Answer",
    "Gateway",
    "GatewayLease",
    "ProviderAccess",
    "ProviderError",
    "Refusal",
    "missing_credential",
]
